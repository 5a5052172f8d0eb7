package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
)

// features are what a simulated vCenter can have from the start, by the names of -with.
var features = []struct {
	name  string
	plant func(*inventory) error
}{
	{"off", plantOff},
	{"duplicates", plantDuplicate},
	{"guests", func(*inventory) error { plantGuests(); return nil }},
	{"snapshots", (*inventory).plantSnapshots},
	{"vsan", func(*inventory) error { plantVsan(); return nil }},
	{"alarms", func(*inventory) error { return plantAlarms() }},
}

// plant gives the inventory the features of a comma-separated list; "all" are all of them.
func plant(i *inventory, list string) error {
	wanted := map[string]bool{}
	for _, word := range strings.Split(list, ",") {
		wanted[word] = true
	}
	for _, feature := range features {
		if wanted[feature.name] || wanted["all"] {
			if err := feature.plant(i); err != nil {
				return fmt.Errorf("%s: %v", feature.name, err)
			}
		}
		delete(wanted, feature.name)
	}
	delete(wanted, "all")
	delete(wanted, "")
	for unknown := range wanted {
		return fmt.Errorf("there is no feature %s", unknown)
	}
	return nil
}

// plantDuplicate adds a second machine of the first one's name, in the folder "copies".
func plantDuplicate(i *inventory) error {
	first := sorted("VirtualMachine")[0]
	_, err := i.add(first.Entity().Name, first.Reference().String(), "copies", "")
	return err
}

// plantOff powers the last machine of each cluster off.
func plantOff(i *inventory) error {
	last := map[string]string{}
	for _, entity := range sorted("VirtualMachine") {
		host := simulator.Map.Get(*entity.(*simulator.VirtualMachine).Runtime.Host)
		last[host.(*simulator.HostSystem).Parent.Value] = entity.Reference().String()
	}
	for _, machine := range last {
		if err := i.power(machine, false); err != nil {
			return err
		}
	}
	return nil
}
