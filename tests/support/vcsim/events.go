package main

import (
	"bytes"
	"fmt"
	"reflect"
	"sort"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// The library keeps the latest thousand events, knows their types and entities, but no
// times, and has no latest event. So questions about events go to a history of our own,
// which asks the library for them all and chooses by time.
const historyID = "EventHistory"

const kept = 1000

type history struct {
	mo.EventManager
}

// reader is a collector of events: its view starts at the oldest and is always up to date.
type reader struct {
	mo.EventHistoryCollector

	filter types.EventFilterSpec
	at     int
}

var (
	readersMu sync.Mutex
	readers   int
)

func serveEvents() {
	events := &history{}
	events.Self = types.ManagedObjectReference{Type: "EventManager", Value: historyID}
	simulator.Map.Put(events)
}

// prepare turns questions about events to the history.
func prepare(operation string, body []byte) []byte {
	switch operation {
	case "CreateCollectorForEvents":
		return bytes.Replace(body, []byte(">EventManager<"), []byte(">"+historyID+"<"), 1)
	case "RetrievePropertiesEx", "RetrieveProperties", "Fetch":
		if bytes.Contains(body, []byte("latestEvent")) {
			refreshLatest()
		}
	}
	return body
}

func refreshLatest() {
	all := matching(types.EventFilterSpec{})
	manager := simulator.Map.EventManager()
	simulator.Map.WithLock(manager, func() {
		if len(all) > 0 {
			manager.LatestEvent = all[len(all)-1]
		}
	})
}

// matching returns the events that fit the filter, by time, the oldest first.
func matching(filter types.EventFilterSpec) []types.BaseEvent {
	manager := simulator.Map.EventManager()
	wide := types.EventFilterSpec{
		Entity: filter.Entity, EventTypeId: filter.EventTypeId, MaxCount: kept,
	}
	var found []types.BaseEvent
	simulator.Map.WithLock(manager, func() {
		answer := manager.QueryEvents(nil, &types.QueryEvents{Filter: wide})
		for _, event := range answer.(*methods.QueryEventsBody).Res.Returnval {
			if within(event.GetEvent().CreatedTime, filter.Time) {
				found = append(found, event)
			}
		}
	})
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i].GetEvent(), found[j].GetEvent()
		if a.CreatedTime.Equal(b.CreatedTime) {
			return a.Key < b.Key
		}
		return a.CreatedTime.Before(b.CreatedTime)
	})
	return found
}

func within(moment time.Time, span *types.EventFilterSpecByTime) bool {
	if span == nil {
		return true
	}
	if span.BeginTime != nil && moment.Before(*span.BeginTime) {
		return false
	}
	return span.EndTime == nil || !moment.After(*span.EndTime)
}

func (h *history) CreateCollectorForEvents(
	ctx *simulator.Context, req *types.CreateCollectorForEvents,
) soap.HasFault {
	made := &reader{filter: req.Filter}
	made.Self.Type = "EventHistoryCollector"
	made.Filter = req.Filter
	count(1)
	reference := ctx.Session.Put(made).Reference()
	return &methods.CreateCollectorForEventsBody{
		Res: &types.CreateCollectorForEventsResponse{Returnval: reference},
	}
}

func (r *reader) ReadNextEvents(_ *simulator.Context, req *types.ReadNextEvents) soap.HasFault {
	if req.MaxCount <= 0 || req.MaxCount > kept {
		fault := &types.InvalidArgument{InvalidProperty: "maxCount"}
		return &methods.ReadNextEventsBody{Fault_: simulator.Fault("", fault)}
	}
	all := matching(r.filter)
	end := min(len(all), r.at+int(req.MaxCount))
	page := all[min(r.at, end):end]
	r.at = end
	return &methods.ReadNextEventsBody{Res: &types.ReadNextEventsResponse{Returnval: page}}
}

func (r *reader) DestroyCollector(
	ctx *simulator.Context, req *types.DestroyCollector,
) soap.HasFault {
	ctx.Session.Remove(req.This)
	count(-1)
	return &methods.DestroyCollectorBody{Res: new(types.DestroyCollectorResponse)}
}

func count(change int) {
	readersMu.Lock()
	readers += change
	readersMu.Unlock()
}

func openReaders() int {
	readersMu.Lock()
	defer readersMu.Unlock()
	return readers
}

// post registers number events of a type (UserLoginSessionEvent, VmPoweredOnEvent, ...), all
// of one time, and returns the key of the last one. on is the object that they are about.
func post(kind, message, on string, moment time.Time, number int) (int32, error) {
	known, found := types.TypeFunc()(kind)
	if !found {
		return 0, fmt.Errorf("there is no type %s", kind)
	}
	for i := 0; i < number; i++ {
		event, is := reflect.New(known).Interface().(types.BaseEvent)
		if !is {
			return 0, fmt.Errorf("%s is no event", kind)
		}
		if err := about(event.GetEvent(), on); err != nil {
			return 0, err
		}
		register(event, message, moment)
	}
	return latestKey(), nil
}

func register(event types.BaseEvent, message string, moment time.Time) {
	manager := simulator.Map.EventManager()
	self := manager.Self
	ctx := &simulator.Context{
		Map:     simulator.Map,
		Caller:  &self,
		Session: &simulator.Session{UserSession: types.UserSession{UserName: "admin"}},
	}
	simulator.Map.WithLock(manager, func() {
		manager.PostEvent(ctx, &types.PostEvent{EventToPost: event})
		// A vCenter's times have microseconds.
		event.GetEvent().CreatedTime = moment.UTC().Truncate(time.Microsecond)
		if message != "" {
			event.GetEvent().FullFormattedMessage = message
		}
	})
}

func latestKey() int32 {
	var key int32
	for _, event := range matching(types.EventFilterSpec{}) {
		if event.GetEvent().Key > key {
			key = event.GetEvent().Key
		}
	}
	return key
}

// about notes the object, and where it is, in an event.
func about(event *types.Event, on string) error {
	if on == "" {
		return nil
	}
	found, err := find(on)
	if err != nil {
		return err
	}
	for _, entity := range lineage(found) {
		argue(event, entity)
	}
	return nil
}

func argue(event *types.Event, entity mo.Entity) {
	self := entity.Reference()
	named := types.EntityEventArgument{Name: entity.Entity().Name}
	switch self.Type {
	case "VirtualMachine":
		event.Vm = &types.VmEventArgument{EntityEventArgument: named, Vm: self}
		host := *entity.(*simulator.VirtualMachine).Runtime.Host
		for _, above := range lineage(simulator.Map.Get(host).(mo.Entity)) {
			argue(event, above)
		}
	case "HostSystem":
		event.Host = &types.HostEventArgument{EntityEventArgument: named, Host: self}
	case "ClusterComputeResource", "ComputeResource":
		event.ComputeResource = &types.ComputeResourceEventArgument{
			EntityEventArgument: named, ComputeResource: self,
		}
	case "Datastore":
		event.Ds = &types.DatastoreEventArgument{EntityEventArgument: named, Datastore: self}
	case "Datacenter":
		event.Datacenter = &types.DatacenterEventArgument{
			EntityEventArgument: named, Datacenter: self,
		}
	}
}
