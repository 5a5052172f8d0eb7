package main

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// vsanSystem is one host's part of a vSAN.
type vsanSystem struct {
	mo.HostVsanSystem

	status types.VsanHostClusterStatus
}

func (v *vsanSystem) QueryHostStatus(_ *types.QueryHostStatus) soap.HasFault {
	return &methods.QueryHostStatusBody{
		Res: &types.QueryHostStatusResponse{Returnval: v.status},
	}
}

// serveVsan gives every host of a cluster a part that is in no vSAN yet. Other hosts have
// none, as those that are too old.
func serveVsan() {
	for _, entity := range simulator.Map.All("HostSystem") {
		host := entity.(*simulator.HostSystem)
		host.ConfigManager.VsanSystem = nil
		if host.Parent.Type == "ClusterComputeResource" {
			join(host.Self, types.VsanHostClusterStatus{
				Health: "unknown", NodeState: types.VsanHostClusterStatusState{State: "none"},
			})
		}
	}
}

// plantVsan makes a vSAN of the hosts of each cluster; the last host of each is unhealthy.
func plantVsan() {
	for number, entity := range sorted("ClusterComputeResource") {
		hosts := entity.(*simulator.ClusterComputeResource).Host
		cluster := fmt.Sprintf("52000000-0000-0000-0000-%012d", number)
		members := []string{}
		for at := range hosts {
			members = append(members, node(number, at))
		}
		for at, reference := range hosts {
			health := "healthy"
			if at == len(hosts)-1 && at > 0 {
				health = "unhealthy"
			}
			join(reference, types.VsanHostClusterStatus{
				Uuid:       cluster,
				NodeUuid:   node(number, at),
				Health:     health,
				NodeState:  types.VsanHostClusterStatusState{State: state(at)},
				MemberUuid: members,
			})
		}
	}
}

func node(cluster, host int) string {
	return fmt.Sprintf("5f%06d-0000-0000-0000-%012d", cluster, host)
}

func state(at int) string {
	return []string{"master", "backup", "agent"}[min(at, 2)]
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func join(reference types.ManagedObjectReference, status types.VsanHostClusterStatus) {
	host := simulator.Map.Get(reference).(*simulator.HostSystem)
	self := types.ManagedObjectReference{Type: "HostVsanSystem", Value: "vsan-" + reference.Value}
	simulator.Map.Put(&vsanSystem{
		HostVsanSystem: mo.HostVsanSystem{Self: self, Config: types.VsanHostConfigInfo{
			Enabled:    types.NewBool(status.Uuid != ""),
			HostSystem: &reference,
			ClusterInfo: &types.VsanHostConfigInfoClusterInfo{
				Uuid: status.Uuid, NodeUuid: status.NodeUuid,
			},
		}},
		status: status,
	})
	simulator.Map.WithLock(host, func() { host.ConfigManager.VsanSystem = &self })
}
