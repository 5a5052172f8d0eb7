package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/vpx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const realtime = 20

// intervals are those that a vCenter has when it is installed.
var intervals = []types.PerfInterval{
	{Key: 1, SamplingPeriod: 300, Name: "Past day", Length: 86400, Level: 1, Enabled: true},
	{Key: 2, SamplingPeriod: 1800, Name: "Past week", Length: 604800, Level: 1, Enabled: true},
	{Key: 3, SamplingPeriod: 7200, Name: "Past month", Length: 2592000, Level: 1, Enabled: true},
	{Key: 4, SamplingPeriod: 86400, Name: "Past year", Length: 31536000, Level: 1, Enabled: true},
}

// performance answers as a vCenter does: historical intervals, samples from the oldest to
// the newest, all instances for "*", nothing of machines that are off, and no realtime
// figures of what is not a host or a machine.
type performance struct {
	simulator.PerformanceManager
}

func servePerformance() {
	self := *simulator.Map.Get(serviceInstance).(*simulator.ServiceInstance).Content.PerfManager
	inner := *simulator.Map.Get(self).(*simulator.PerformanceManager)
	inner.HistoricalInterval = intervals
	simulator.Map.Put(&performance{PerformanceManager: inner})
}

func (p *performance) QueryPerf(ctx *simulator.Context, req *types.QueryPerf) soap.HasFault {
	answers := []types.BasePerfEntityMetricBase{}
	for _, spec := range req.QuerySpec {
		answer, fault := p.answer(ctx, spec)
		if fault != nil {
			return &methods.QueryPerfBody{Fault_: simulator.Fault("", fault)}
		}
		if answer != nil {
			answers = append(answers, answer)
		}
	}
	return &methods.QueryPerfBody{Res: &types.QueryPerfResponse{Returnval: answers}}
}

func (p *performance) answer(
	ctx *simulator.Context, spec types.PerfQuerySpec,
) (types.BasePerfEntityMetricBase, types.BaseMethodFault) {
	if simulator.Map.Get(spec.Entity) == nil {
		return nil, &types.ManagedObjectNotFound{Obj: spec.Entity}
	}
	interval := int(spec.IntervalId)
	if interval == 0 {
		interval = realtime
	}
	if interval == realtime && !live(spec.Entity.Type) {
		return nil, &types.InvalidArgument{InvalidProperty: "querySpec.interval"}
	}
	if off(spec.Entity) {
		return nil, nil
	}
	times := moments(spec, interval)
	metric := &types.PerfEntityMetric{}
	metric.Entity = spec.Entity
	for _, moment := range times {
		metric.SampleInfo = append(metric.SampleInfo, types.PerfSampleInfo{
			Timestamp: moment, Interval: int32(interval),
		})
	}
	if len(times) > 0 {
		metric.Value = p.series(ctx, spec, interval, times)
	}
	if spec.Format == "csv" {
		return asText(metric), nil
	}
	return metric, nil
}

func live(kind string) bool {
	return kind == "VirtualMachine" || kind == "HostSystem" || kind == "ResourcePool"
}

func off(entity types.ManagedObjectReference) bool {
	vm, is := simulator.Map.Get(entity).(*simulator.VirtualMachine)
	return is && vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn
}

// moments returns the times of the samples. The greatest number of samples is heeded in
// realtime alone, and the newest figures of history are half an interval old.
func moments(spec types.PerfQuerySpec, interval int) []time.Time {
	step, now := time.Duration(interval)*time.Second, time.Now().UTC()
	start, end := now.Add(-time.Hour), now
	if interval != realtime {
		start = now.Add(-time.Duration(length(interval)) * time.Second)
		end = now.Add(-step / 2)
	}
	if spec.StartTime != nil && spec.StartTime.After(start) {
		start = *spec.StartTime
	}
	if spec.EndTime != nil && spec.EndTime.Before(end) {
		end = *spec.EndTime
	}
	var times []time.Time
	for moment := end.Truncate(step); moment.After(start); moment = moment.Add(-step) {
		if interval == realtime && spec.MaxSample > 0 && len(times) == int(spec.MaxSample) {
			break
		}
		times = append(times, moment)
	}
	for i, j := 0, len(times)-1; i < j; i, j = i+1, j-1 {
		times[i], times[j] = times[j], times[i]
	}
	return times
}

func length(interval int) int {
	for _, known := range intervals {
		if int(known.SamplingPeriod) == interval {
			return int(known.Length)
		}
	}
	return 0
}

// series returns a series for each metric that was asked for and that the object has.
func (p *performance) series(
	ctx *simulator.Context, spec types.PerfQuerySpec, interval int, times []time.Time,
) []types.BasePerfMetricSeries {
	answer := p.QueryAvailablePerfMetric(ctx, &types.QueryAvailablePerfMetric{
		Entity: spec.Entity, IntervalId: int32(interval),
	})
	all := []types.BasePerfMetricSeries{}
	seen := map[types.PerfMetricId]bool{}
	for _, asked := range spec.MetricId {
		for _, has := range answer.(*methods.QueryAvailablePerfMetricBody).Res.Returnval {
			fits := asked.Instance == has.Instance || asked.Instance == "*"
			if asked.CounterId != has.CounterId || !fits || seen[has] {
				continue
			}
			seen[has] = true
			all = append(all, &types.PerfMetricIntSeries{
				PerfMetricSeries: types.PerfMetricSeries{Id: has},
				Value:            values(spec.Entity, has.CounterId, interval, times),
			})
		}
	}
	return all
}

// values are the library's example figures, the same ones for the same moment.
func values(
	entity types.ManagedObjectReference, counter int32, interval int, times []time.Time,
) []int64 {
	points := vpx.MetricData[entity.Type][counter]
	made := make([]int64, len(times))
	for i, moment := range times {
		at := int(moment.Unix())/interval + number(entity)
		if len(points) > 0 {
			made[i] = points[at%len(points)]
		} else {
			made[i] = int64(at % 100)
		}
	}
	return made
}

func asText(metric *types.PerfEntityMetric) *types.PerfEntityMetricCSV {
	text := &types.PerfEntityMetricCSV{}
	text.Entity = metric.Entity
	samples := []string{}
	for _, sample := range metric.SampleInfo {
		samples = append(samples, strconv.Itoa(int(sample.Interval)),
			sample.Timestamp.Format(time.RFC3339))
	}
	text.SampleInfoCSV = strings.Join(samples, ",")
	for _, series := range metric.Value {
		figures := []string{}
		for _, value := range series.(*types.PerfMetricIntSeries).Value {
			figures = append(figures, strconv.FormatInt(value, 10))
		}
		text.Value = append(text.Value, types.PerfMetricSeriesCSV{
			PerfMetricSeries: series.(*types.PerfMetricIntSeries).PerfMetricSeries,
			Value:            strings.Join(figures, ","),
		})
	}
	return text
}
