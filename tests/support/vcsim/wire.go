package main

import (
	"bytes"
	"fmt"
	"html"
	"io/ioutil"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// wire stands between the clients and the library: it counts the operations that are asked
// for, and answers some of them late or with a fault.
type wire struct {
	inner http.Handler
	ended chan struct{}

	mu     sync.Mutex
	calls  map[string]int
	delays map[string]time.Duration
	faults []*fault
}

// fault is what an operation is answered with instead of its result.
type fault struct {
	Operation string // empty: any but logging in and out
	Name      string // NoPermission, ...
	Message   string
	Inner     string // XML of the fault's properties
	Object    string // only for requests that name this object's id
	Times     int    // 0: until it is cleared
}

var operations = regexp.MustCompile(`Body>\s*<(?:[A-Za-z0-9]+:)?([A-Za-z_]+)`)

func newWire(inner http.Handler) *wire {
	return &wire{
		inner:  inner,
		ended:  make(chan struct{}),
		calls:  make(map[string]int),
		delays: make(map[string]time.Duration),
	}
}

func (w *wire) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	body, _ := ioutil.ReadAll(request.Body)
	if found := operations.FindSubmatch(body); found != nil {
		operation := string(found[1])
		w.wait(operation)
		if fault := w.count(operation, body); fault != nil {
			refuse(out, fault)
			return
		}
		body = prepare(operation, body)
	}
	request.Body = ioutil.NopCloser(bytes.NewReader(body))
	request.ContentLength = int64(len(body))
	w.inner.ServeHTTP(out, request)
}

func (w *wire) wait(operation string) {
	w.mu.Lock()
	delay, own := w.delays[operation]
	if !own {
		delay = w.delays[""]
	}
	w.mu.Unlock()
	if delay <= 0 {
		return
	}
	select {
	case <-time.After(delay):
	case <-w.ended:
	}
}

// count notes a call, and returns the fault that it is to be answered with.
func (w *wire) count(operation string, body []byte) *fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[operation]++
	for i, fault := range w.faults {
		if !fault.hits(operation, body) {
			continue
		}
		if fault.Times == 1 {
			w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
		} else if fault.Times > 1 {
			fault.Times--
		}
		return fault
	}
	return nil
}

func (f *fault) hits(operation string, body []byte) bool {
	switch operation {
	case "RetrieveServiceContent", "Login", "Logout":
		if f.Operation != operation {
			return false
		}
	}
	if f.Operation != "" && f.Operation != operation {
		return false
	}
	return f.Object == "" || strings.Contains(string(body), ">"+f.Object+"<")
}

func refuse(out http.ResponseWriter, fault *fault) {
	out.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(out, `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>
<faultcode>ServerFaultCode</faultcode><faultstring>%s</faultstring><detail>
<%sFault xmlns="urn:vim25" xsi:type="%s">%s</%sFault>
</detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`,
		html.EscapeString(fault.Message), fault.Name, fault.Name, fault.Inner, fault.Name)
}

func (w *wire) setDelay(operation string, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delay == 0 && operation == "" {
		w.delays = make(map[string]time.Duration)
		return
	}
	w.delays[operation] = delay
}

func (w *wire) addFault(one *fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, one)
}

func (w *wire) clearFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

// served returns how often each operation was asked for, and may start again from zero.
func (w *wire) served(again bool) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	if again {
		w.calls = make(map[string]int)
		return calls
	}
	copied := make(map[string]int, len(calls))
	for operation, number := range calls {
		copied[operation] = number
	}
	return copied
}
