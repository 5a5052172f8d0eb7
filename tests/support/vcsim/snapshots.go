package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// snapshot makes a snapshot below the current one; days is its age.
func (i *inventory) snapshot(name, snapshot, description string, days float64) error {
	found, err := machine(name)
	if err != nil {
		return err
	}
	ctx := context.Background()
	vm := object.NewVirtualMachine(i.client, found.Self)
	task, err := vm.CreateSnapshot(ctx, snapshot, description, false, false)
	if err != nil {
		return err
	}
	if err := task.Wait(ctx); err != nil {
		return err
	}
	simulator.Map.WithLock(found, func() {
		born := time.Now().Add(-time.Duration(days * 24 * float64(time.Hour)))
		redate(found.Snapshot.RootSnapshotList, *found.Snapshot.CurrentSnapshot, born)
	})
	return nil
}

func redate(
	tree []types.VirtualMachineSnapshotTree, one types.ManagedObjectReference, born time.Time,
) {
	for at := range tree {
		if tree[at].Snapshot == one {
			tree[at].CreateTime = born
		}
		redate(tree[at].ChildSnapshotList, one, born)
	}
}

// revert goes back to a snapshot, so that the next one becomes another child of it.
func (i *inventory) revert(name, snapshot string) error {
	found, err := machine(name)
	if err != nil {
		return err
	}
	ctx := context.Background()
	task, err := object.NewVirtualMachine(i.client, found.Self).RevertToSnapshot(
		ctx, snapshot, true)
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}

// plantSnapshots gives the first machine a tree of seven levels with a branch at the
// third, and the second machine a single snapshot.
func (i *inventory) plantSnapshots() error {
	machines := sorted("VirtualMachine")
	first := machines[0].Reference().String()
	for level := 1; level <= 7; level++ {
		name := fmt.Sprintf("level %d", level)
		if err := i.snapshot(first, name, "one below the other", float64(30-level)); err != nil {
			return err
		}
	}
	if err := i.revert(first, "level 3"); err != nil {
		return err
	}
	if err := i.snapshot(first, "branch", "beside level 4", 1); err != nil {
		return err
	}
	if len(machines) < 2 {
		return nil
	}
	return i.snapshot(machines[1].Reference().String(), "before the update", "", 0.5)
}
