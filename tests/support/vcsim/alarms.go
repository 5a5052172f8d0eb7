package main

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// alarm is a definition of an alarm.
type alarm struct {
	mo.Alarm
}

// alarms are the definitions, by name.
var alarms = map[string]types.ManagedObjectReference{}

// define returns the alarm of that name, made where there is none.
func define(name string) types.ManagedObjectReference {
	if known, defined := alarms[name]; defined {
		return known
	}
	self := types.ManagedObjectReference{
		Type: "Alarm", Value: fmt.Sprintf("alarm-%d", len(alarms)+1),
	}
	alarms[name] = self
	root := simulator.Map.Get(serviceInstance).(*simulator.ServiceInstance).Content.RootFolder
	definition := &alarm{}
	definition.Self = self
	definition.Info = types.AlarmInfo{
		AlarmSpec: types.AlarmSpec{
			Name:        name,
			Description: "Alarm of the simulated vCenter",
			Enabled:     true,
			Expression: &types.OrAlarmExpression{Expression: []types.BaseAlarmExpression{
				&types.StateAlarmExpression{
					Operator:  types.StateAlarmOperatorIsEqual,
					Type:      "VirtualMachine",
					StatePath: "runtime.powerState",
					Red:       "poweredOff",
				},
			}},
		},
		Key:              self.Value,
		Alarm:            self,
		Entity:           root,
		LastModifiedTime: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		LastModifiedUser: "VSPHERE.LOCAL\\Administrator",
	}
	simulator.Map.Put(definition)
	return self
}

// raise triggers an alarm on an object. As with a vCenter, the objects above have it too.
func raise(name, on, status, acknowledgedBy string) error {
	found, err := find(on)
	if err != nil {
		return err
	}
	definition, now := define(name), time.Now().UTC()
	one := types.AlarmState{
		Key:           fmt.Sprintf("%s.%s", definition.Value, found.Reference().Value),
		Entity:        found.Reference(),
		Alarm:         definition,
		OverallStatus: types.ManagedEntityStatus(status),
		Time:          now,
		Acknowledged:  types.NewBool(acknowledgedBy != ""),
	}
	if acknowledgedBy != "" {
		one.AcknowledgedByUser, one.AcknowledgedTime = acknowledgedBy, &now
	}
	update(found, types.PropertyChange{Name: "overallStatus", Val: one.OverallStatus})
	for _, entity := range lineage(found) {
		states := append([]types.AlarmState{}, entity.Entity().TriggeredAlarmState...)
		set(entity, append(states, one))
	}
	return nil
}

// lineage returns an object and all that it is in.
func lineage(entity mo.Entity) []mo.Entity {
	line := []mo.Entity{entity}
	for entity.Entity().Parent != nil {
		above, known := simulator.Map.Get(*entity.Entity().Parent).(mo.Entity)
		if !known {
			break
		}
		entity = above
		line = append(line, entity)
	}
	return line
}

func set(entity mo.Entity, states []types.AlarmState) {
	update(entity, types.PropertyChange{Name: "triggeredAlarmState", Val: states})
}

// silence resets all alarms.
func silence() {
	for _, entity := range simulator.Map.All("") {
		if len(entity.Entity().TriggeredAlarmState) > 0 {
			set(entity, nil)
			green := types.ManagedEntityStatusGreen
			update(entity, types.PropertyChange{Name: "overallStatus", Val: green})
		}
	}
}

// plantAlarms triggers an alarm on the first object of each kind.
func plantAlarms() error {
	for _, one := range []struct{ name, kind, status, user string }{
		{"Datacenter storage is running out", "Datacenter", "yellow", ""},
		{"Cluster high availability error", "ClusterComputeResource", "red", ""},
		{"Host connection and power state", "HostSystem", "red", ""},
		{"Virtual machine CPU usage", "VirtualMachine", "red", ""},
		{"Virtual machine memory usage", "VirtualMachine", "yellow", "VSPHERE.LOCAL\\operator"},
		{"Datastore usage on disk", "Datastore", "yellow", ""},
	} {
		all := sorted(one.kind)
		if len(all) == 0 {
			continue
		}
		first := all[0].Reference().String()
		if err := raise(one.name, first, one.status, one.user); err != nil {
			return err
		}
	}
	return nil
}
