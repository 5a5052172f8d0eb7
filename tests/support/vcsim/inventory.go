package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// inventory changes what there is, as an administrator would.
type inventory struct {
	client *vim25.Client
	serial int
}

func newInventory(service *simulator.Service) (*inventory, error) {
	client, err := vim25.NewClient(context.Background(), service)
	return &inventory{client: client}, err
}

// find returns the object of a reference (VirtualMachine:vm-42) or a name; the first one
// in the order of creation, where several have the name.
func find(name string, kinds ...string) (mo.Entity, error) {
	var best mo.Entity
	for _, entity := range simulator.Map.All("") {
		self := entity.Reference()
		if !named(entity, name) || (len(kinds) > 0 && !contains(kinds, self.Type)) {
			continue
		}
		if best == nil || number(self) < number(best.Reference()) {
			best = entity
		}
	}
	if best == nil {
		return nil, fmt.Errorf("there is no %s %s", strings.Join(kinds, " or "), name)
	}
	return best, nil
}

func named(entity mo.Entity, name string) bool {
	return entity.Entity().Name == name || entity.Reference().String() == name
}

func contains(words []string, word string) bool {
	for _, each := range words {
		if each == word {
			return true
		}
	}
	return false
}

// number returns the number in the id of an object, by which those of a kind are ordered.
func number(reference types.ManagedObjectReference) int {
	var value int
	at := strings.LastIndex(reference.Value, "-")
	_, _ = fmt.Sscan(reference.Value[at+1:], &value)
	return value
}

// sorted returns all objects of a kind in the order of their creation.
func sorted(kind string) []mo.Entity {
	found := simulator.Map.All(kind)
	for i := range found {
		for j := i; j > 0 && number(found[j].Reference()) < number(found[j-1].Reference()); j-- {
			found[j], found[j-1] = found[j-1], found[j]
		}
	}
	return found
}

func machine(name string) (*simulator.VirtualMachine, error) {
	found, err := find(name, "VirtualMachine")
	if err != nil {
		return nil, err
	}
	return found.(*simulator.VirtualMachine), nil
}

func (i *inventory) rename(name, to string) error {
	found, err := find(name)
	if err != nil {
		return err
	}
	setName(found, to)
	return nil
}

func setName(entity mo.Entity, name string) {
	changes := []types.PropertyChange{{Name: "name", Val: name}}
	if entity.Reference().Type == "VirtualMachine" {
		changes = append(changes,
			types.PropertyChange{Name: "config.name", Val: name},
			types.PropertyChange{Name: "summary.config.name", Val: name})
	}
	update(entity, changes...)
}

func update(managed mo.Reference, changes ...types.PropertyChange) {
	simulator.Map.WithLock(managed, func() { simulator.Map.Update(managed, changes) })
}

// add clones the machine like, and returns the reference of the new one. folder is the
// name of a folder, made below that of like where there is none, pool that of a resource
// pool; empty: those of like.
func (i *inventory) add(name, like, folder, pool string) (string, error) {
	ctx := context.Background()
	source, err := machine(like)
	if err != nil {
		return "", err
	}
	where, err := i.folder(*source.Parent, folder)
	if err != nil {
		return "", err
	}
	in := source.ResourcePool
	if pool != "" {
		found, err := find(pool, "ResourcePool")
		if err != nil {
			return "", err
		}
		reference := found.Reference()
		in = &reference
	}
	// The library keeps machines of one name in one directory.
	i.serial++
	own := fmt.Sprintf("clone-%d", i.serial)
	task, err := object.NewVirtualMachine(i.client, source.Self).Clone(
		ctx, object.NewFolder(i.client, where), own, types.VirtualMachineCloneSpec{
			Location: types.VirtualMachineRelocateSpec{Pool: in},
		})
	if err != nil {
		return "", err
	}
	done, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return "", err
	}
	reference := done.Result.(types.ManagedObjectReference)
	setName(simulator.Map.Get(reference).(mo.Entity), name)
	return reference.String(), i.power(reference.String(), true)
}

func (i *inventory) folder(
	parent types.ManagedObjectReference, name string,
) (types.ManagedObjectReference, error) {
	if name == "" {
		return parent, nil
	}
	if found, err := find(name, "Folder"); err == nil {
		return found.Reference(), nil
	}
	made, err := object.NewFolder(i.client, parent).CreateFolder(context.Background(), name)
	if err != nil {
		return parent, err
	}
	return made.Reference(), nil
}

func (i *inventory) remove(name string) error {
	found, err := machine(name)
	if err != nil {
		return err
	}
	if found.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
		if err := i.power(name, false); err != nil {
			return err
		}
	}
	ctx := context.Background()
	task, err := object.NewVirtualMachine(i.client, found.Self).Destroy(ctx)
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}

func (i *inventory) power(name string, on bool) error {
	found, err := machine(name)
	if err != nil {
		return err
	}
	ctx := context.Background()
	vm := object.NewVirtualMachine(i.client, found.Self)
	order := vm.PowerOff
	if on {
		order = vm.PowerOn
	}
	task, err := order(ctx)
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}
