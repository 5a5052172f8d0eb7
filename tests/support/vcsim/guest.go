package main

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Who may log in at the guests.
const guestUser, guestPassword = "guest", "s3cret"

const gib = 1 << 30

// processes is the library's GuestProcessManager with a list of processes.
type processes struct {
	simulator.GuestProcessManager
}

func (p *processes) ListProcessesInGuest(req *types.ListProcessesInGuest) soap.HasFault {
	body := new(methods.ListProcessesInGuestBody)
	if fault := admit(req.Vm, req.Auth); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &types.ListProcessesInGuestResponse{Returnval: running(req.Pids)}
	return body
}

// admit says why a guest refuses an operation; nil where it does not.
func admit(
	reference types.ManagedObjectReference, auth types.BaseGuestAuthentication,
) types.BaseMethodFault {
	vm, known := simulator.Map.Get(reference).(*simulator.VirtualMachine)
	if !known {
		return &types.ManagedObjectNotFound{Obj: reference}
	}
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn,
			ExistingState:  vm.Runtime.PowerState,
		}
	}
	if vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		return new(types.GuestOperationsUnavailable)
	}
	login, named := auth.(*types.NamePasswordAuthentication)
	if !named || login.Username != guestUser || login.Password != guestPassword {
		return new(types.InvalidGuestLogin)
	}
	return nil
}

func running(pids []int64) []types.GuestProcessInfo {
	born := time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)
	all := []types.GuestProcessInfo{
		{Name: "systemd", Pid: 1, Owner: "root", CmdLine: "/sbin/init", StartTime: born},
		{Name: "sshd", Pid: 512, Owner: "root", CmdLine: "/usr/sbin/sshd -D", StartTime: born},
		{Name: "nginx", Pid: 640, Owner: "root", CmdLine: "nginx: master process", StartTime: born},
		{Name: "nginx", Pid: 641, Owner: "www", CmdLine: "nginx: worker process", StartTime: born},
		{Name: "nginx", Pid: 642, Owner: "www", CmdLine: "nginx: worker process", StartTime: born},
	}
	if len(pids) == 0 {
		return all
	}
	var chosen []types.GuestProcessInfo
	for _, process := range all {
		for _, pid := range pids {
			if process.Pid == pid {
				chosen = append(chosen, process)
			}
		}
	}
	return chosen
}

// serveProcesses puts the list of processes in the library's place.
func serveProcesses() {
	operations := simulator.Map.Get(*simulator.Map.Get(serviceInstance).(*simulator.ServiceInstance).Content.GuestOperationsManager)
	reference := *operations.(*simulator.GuestOperationsManager).ProcessManager
	simulator.Map.Put(&processes{GuestProcessManager: simulator.GuestProcessManager{
		GuestProcessManager: mo.GuestProcessManager{Self: reference},
	}})
}

// plantGuests gives every machine that is on tools, disks and network cards.
func plantGuests() {
	for at, entity := range sorted("VirtualMachine") {
		vm := entity.(*simulator.VirtualMachine)
		if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
			continue
		}
		simulator.Map.WithLock(vm, func() { furnish(vm, at) })
	}
}

func furnish(vm *simulator.VirtualMachine, at int) {
	running := string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	vm.Guest.ToolsRunningStatus = running
	vm.Guest.ToolsStatus = types.VirtualMachineToolsStatusToolsOk
	vm.Guest.GuestState = "running"
	vm.Guest.HostName = fmt.Sprintf("guest%d.example.org", at)
	vm.Guest.IpAddress = fmt.Sprintf("10.1.%d.%d", at/250, at%250+1)
	vm.Guest.Disk = []types.GuestDiskInfo{
		{DiskPath: "/", Capacity: 20 * gib, FreeSpace: int64(5+at%10) * gib, FilesystemType: "ext4"},
		{DiskPath: "/boot", Capacity: gib, FreeSpace: gib / 2, FilesystemType: "ext4"},
		{DiskPath: "/var/lib/data", Capacity: 100 * gib, FreeSpace: 1 * gib, FilesystemType: "xfs"},
	}
	vm.Guest.Net = []types.GuestNicInfo{{
		Network:        "DC0_DVPG0",
		IpAddress:      []string{vm.Guest.IpAddress, fmt.Sprintf("fe80::250:56ff:fe00:%x", at+1)},
		MacAddress:     fmt.Sprintf("00:50:56:00:%02x:%02x", at/256, at%256),
		Connected:      true,
		DeviceConfigId: 4000,
	}}
	vm.Summary.Guest = &types.VirtualMachineGuestSummary{
		HostName:           vm.Guest.HostName,
		IpAddress:          vm.Guest.IpAddress,
		ToolsStatus:        vm.Guest.ToolsStatus,
		ToolsRunningStatus: running,
	}
	vm.Summary.QuickStats.OverallCpuUsage = int32(100 + at%50*10)
	vm.Summary.QuickStats.GuestMemoryUsage = int32(256 + at%8*64)
	vm.Summary.QuickStats.UptimeSeconds = int32(3600 + at)
}
