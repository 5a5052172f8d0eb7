// A vCenter for the tests: govmomi's simulator behind TLS, with a login of its own.
//
// When it is ready it prints one line of JSON (address, port, thumbprints, certificate)
// on standard output. Then it reads commands from standard input, one a line, and
// answers each with one line of JSON; commands.go lists them. It ends when its standard
// input is closed, so that it can't outlive its test.
//
// Habits of a real vCenter are added to the library's: a request without a session and a
// request for a property that does not exist are faults (collector.go), long answers come
// in pages, figures have historical intervals (performance.go), and events can be asked for
// by time (events.go). What there is can be made richer by -with (features.go), and calls
// can be counted, delayed and answered with faults (wire.go).
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io/ioutil"
	"log"
	"net/url"
	"os"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
)

var serviceInstance = vim25.ServiceInstance

func main() {
	model := simulator.VPX()
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	names := flag.String("names", "127.0.0.1,localhost", "names in the certificate")
	user := flag.String("user", "user", "user who may log in")
	password := flag.String("password", "pass", "the user's password")
	with := flag.String("with", "", "features of the inventory, comma-separated; or all")
	verbose := flag.Bool("v", false, "let the library log")
	flag.IntVar(&pageSize, "page", 0, "objects in one answer of the PropertyCollector; 0: all")
	flag.IntVar(&model.Datacenter, "dc", 1, "datacenters")
	flag.IntVar(&model.Cluster, "cluster", 1, "clusters in a datacenter")
	flag.IntVar(&model.ClusterHost, "host", 3, "hosts in a cluster")
	flag.IntVar(&model.Host, "standalone-host", 0, "hosts outside of clusters, in a datacenter")
	flag.IntVar(&model.Datastore, "ds", 1, "datastores")
	flag.IntVar(&model.Pool, "pool", 0, "resource pools in a cluster, besides its own")
	flag.IntVar(&model.Portgroup, "pg", 1, "distributed port groups in a datacenter")
	flag.IntVar(&model.Folder, "folder", 0, "folders around datacenters and what is in them")
	flag.IntVar(&model.Machine, "vm", 2, "virtual machines in a pool and on a standalone host")
	flag.Parse()
	if !*verbose {
		log.SetOutput(ioutil.Discard)
	}
	login := url.UserPassword(*user, *password)
	if err := serve(model, *listen, *names, *with, login); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(model *simulator.Model, listen, names, with string, login *url.Userinfo) error {
	defer model.Remove()
	if err := model.Create(); err != nil {
		return err
	}
	simulator.Map.Put(&collector{PropertyCollector: simulator.PropertyCollector{
		PropertyCollector: mo.PropertyCollector{Self: model.ServiceContent.PropertyCollector},
	}})
	serveEvents()
	servePerformance()
	serveProcesses()
	serveVsan()
	cert, err := certificate(strings.Split(names, ","))
	if err != nil {
		return err
	}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	model.Service.Listen = &url.URL{Host: listen, User: login}
	server := model.Service.NewServer()
	between := newWire(server.Config.Handler)
	server.Config.Handler = between
	inventory, err := newInventory(model.Service)
	if err != nil {
		return err
	}
	if err := plant(inventory, with); err != nil {
		return err
	}
	introduce(server, cert)
	obey(&vcenter{server, between, inventory})
	close(between.ended)
	// Without server.Close(), which waits for calls that wait for updates.
	server.CloseClientConnections()
	return nil
}
