package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// vcenter is what the commands work on.
type vcenter struct {
	server    *simulator.Server
	wire      *wire
	inventory *inventory
}

// arguments are those of all commands; each takes what it needs.
type arguments struct {
	Again          bool
	Seconds        float64
	Operation      string
	Fault          string
	Message        string
	Inner          string
	Object         string
	Times          int
	Path           string
	Name           string
	To             string
	Like           string
	Folder         string
	Pool           string
	On             bool
	Snapshot       string
	Description    string
	Days           float64
	Type           string
	Entity         string
	Time           *time.Time
	Number         int
	Status         string
	AcknowledgedBy string
}

type command func(*vcenter, arguments) (interface{}, error)

var commands = map[string]command{
	"sessions": func(*vcenter, arguments) (interface{}, error) { return len(sessions()), nil },
	"expire":   expire,
	"drop": func(v *vcenter, _ arguments) (interface{}, error) {
		v.server.CloseClientConnections()
		return "dropped", nil
	},
	"calls": func(v *vcenter, a arguments) (interface{}, error) {
		return v.wire.served(a.Again), nil
	},
	"delay": func(v *vcenter, a arguments) (interface{}, error) {
		v.wire.setDelay(a.Operation, time.Duration(a.Seconds*float64(time.Second)))
		return "ok", nil
	},
	"fault": func(v *vcenter, a arguments) (interface{}, error) {
		v.wire.addFault(&fault{a.Operation, a.Fault, a.Message, a.Inner, a.Object, a.Times})
		return "ok", nil
	},
	"deny": deny,
	"mend": func(v *vcenter, _ arguments) (interface{}, error) {
		v.wire.clearFaults()
		denials.clear()
		return "ok", nil
	},
	"reference": func(_ *vcenter, a arguments) (interface{}, error) {
		found, err := find(a.Name)
		if err != nil {
			return nil, err
		}
		return found.Reference().String(), nil
	},
	"rename": func(v *vcenter, a arguments) (interface{}, error) {
		return "ok", v.inventory.rename(a.Name, a.To)
	},
	"add": func(v *vcenter, a arguments) (interface{}, error) {
		return v.inventory.add(a.Name, a.Like, a.Folder, a.Pool)
	},
	"remove": func(v *vcenter, a arguments) (interface{}, error) {
		return "ok", v.inventory.remove(a.Name)
	},
	"power": func(v *vcenter, a arguments) (interface{}, error) {
		return "ok", v.inventory.power(a.Name, a.On)
	},
	"snapshot": func(v *vcenter, a arguments) (interface{}, error) {
		return "ok", v.inventory.snapshot(a.Name, a.Snapshot, a.Description, a.Days)
	},
	"revert": func(v *vcenter, a arguments) (interface{}, error) {
		return "ok", v.inventory.revert(a.Name, a.Snapshot)
	},
	"event": event,
	"readers": func(*vcenter, arguments) (interface{}, error) {
		return openReaders(), nil
	},
	"alarm": func(_ *vcenter, a arguments) (interface{}, error) {
		return "ok", raise(a.Name, a.Entity, a.Status, a.AcknowledgedBy)
	},
	"silence": func(*vcenter, arguments) (interface{}, error) { silence(); return "ok", nil },
}

func expire(*vcenter, arguments) (interface{}, error) {
	nobody := &simulator.Context{Session: &simulator.Session{}}
	simulator.Map.SessionManager().TerminateSession(
		nobody, &types.TerminateSession{SessionId: sessions()})
	return len(sessions()), nil
}

func deny(_ *vcenter, a arguments) (interface{}, error) {
	found, err := find(a.Name)
	if err != nil {
		return nil, err
	}
	denials.add(found.Reference().Value, a.Path)
	return "ok", nil
}

func event(_ *vcenter, a arguments) (interface{}, error) {
	moment := time.Now()
	if a.Time != nil {
		moment = *a.Time
	}
	if a.Number == 0 {
		a.Number = 1
	}
	return post(a.Type, a.Message, a.Entity, moment, a.Number)
}

// obey carries out the commands on standard input until it is closed. A line is a word
// and, for some, its arguments in JSON.
func obey(v *vcenter) {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		words := strings.SplitN(input.Text(), " ", 2)
		result, err := run(v, words)
		if err != nil {
			say(map[string]string{"error": err.Error()})
		} else {
			say(result)
		}
	}
}

func run(v *vcenter, words []string) (interface{}, error) {
	do, known := commands[words[0]]
	if !known {
		return nil, fmt.Errorf("unknown command %s", words[0])
	}
	var given arguments
	if len(words) > 1 {
		if err := json.Unmarshal([]byte(words[1]), &given); err != nil {
			return nil, err
		}
	}
	return do(v, given)
}

func say(line interface{}) {
	text, err := json.Marshal(line)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

// sessions returns the ids of everyone who is logged in.
func sessions() []string {
	view := simulator.Session{Registry: simulator.NewRegistry()}
	manager := view.Get(simulator.Map.SessionManager().Reference()).(*simulator.SessionManager)
	ids := []string{}
	for _, session := range manager.SessionList {
		ids = append(ids, session.Key)
	}
	return ids
}
