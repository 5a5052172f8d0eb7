package main

import (
	"strconv"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// pageSize is the most objects in one answer; 0 is no limit.
var pageSize int

// collector is the library's PropertyCollector with a vCenter's faults, pages and refusals.
// The library makes one for each session, by reflection, so its fields start as zeros.
type collector struct {
	simulator.PropertyCollector

	mu    sync.Mutex
	pages map[string][]types.ObjectContent
	next  int
}

func (c *collector) RetrievePropertiesEx(
	ctx *simulator.Context, req *types.RetrievePropertiesEx,
) soap.HasFault {
	if ctx.Session == nil {
		fault := &types.NotAuthenticated{NoPermission: types.NoPermission{
			Object: req.This, PrivilegeId: "System.View",
		}}
		return &methods.RetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
	}
	answer := c.PropertyCollector.RetrievePropertiesEx(ctx, req)
	body := answer.(*methods.RetrievePropertiesExBody)
	if body.Res == nil {
		return answer
	}
	if fault := firstFault(body.Res.Returnval.Objects); fault != nil {
		return &methods.RetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
	}
	denials.apply(body.Res.Returnval.Objects)
	c.cut(body.Res.Returnval)
	return body
}

func (c *collector) ContinueRetrievePropertiesEx(
	_ *simulator.Context, req *types.ContinueRetrievePropertiesEx,
) soap.HasFault {
	c.mu.Lock()
	rest, known := c.pages[req.Token]
	delete(c.pages, req.Token)
	c.mu.Unlock()
	if !known {
		fault := &types.InvalidArgument{InvalidProperty: "token"}
		return &methods.ContinueRetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
	}
	result := types.RetrieveResult{Objects: rest}
	c.cut(&result)
	return &methods.ContinueRetrievePropertiesExBody{
		Res: &types.ContinueRetrievePropertiesExResponse{Returnval: result},
	}
}

// cut leaves one page in result and keeps the rest under a token.
func (c *collector) cut(result *types.RetrieveResult) {
	if pageSize == 0 || len(result.Objects) <= pageSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil {
		c.pages = make(map[string][]types.ObjectContent)
	}
	c.next++
	result.Token = strconv.Itoa(c.next)
	c.pages[result.Token] = result.Objects[pageSize:]
	result.Objects = result.Objects[:pageSize]
}

// firstFault finds what a vCenter would have refused the whole request for.
func firstFault(objects []types.ObjectContent) types.BaseMethodFault {
	for _, object := range objects {
		for _, missing := range object.MissingSet {
			if fault, wrong := missing.Fault.Fault.(*types.InvalidProperty); wrong {
				return fault
			}
		}
	}
	return nil
}

// denied are the properties that may not be read: paths by the object's id.
type denied struct {
	mu    sync.Mutex
	paths map[string]map[string]bool
}

var denials = denied{paths: make(map[string]map[string]bool)}

func (d *denied) add(object, path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paths[object] == nil {
		d.paths[object] = make(map[string]bool)
	}
	d.paths[object][path] = true
}

func (d *denied) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paths = make(map[string]map[string]bool)
}

// apply moves what may not be read from the properties to the missing ones.
func (d *denied) apply(objects []types.ObjectContent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range objects {
		object := &objects[i]
		var allowed []types.DynamicProperty
		for _, property := range object.PropSet {
			if d.paths[object.Obj.Value][property.Name] {
				object.MissingSet = append(object.MissingSet, refusal(object.Obj, property.Name))
			} else {
				allowed = append(allowed, property)
			}
		}
		object.PropSet = allowed
	}
}

func refusal(object types.ManagedObjectReference, path string) types.MissingProperty {
	return types.MissingProperty{Path: path, Fault: types.LocalizedMethodFault{
		Fault: &types.NoPermission{Object: object, PrivilegeId: "System.Read"},
	}}
}
