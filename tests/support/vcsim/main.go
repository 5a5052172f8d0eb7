// A vCenter for the tests: govmomi's simulator behind TLS, with a login of its own.
//
// When it is ready it prints one line of JSON (address, port, thumbprints, certificate)
// on standard output. Then it reads commands from standard input, one a line, and
// answers each with one line of JSON:
//
//	sessions  the number of sessions that are logged in
//	expire    end all sessions, as an idle time-out or a restart would
//	drop      close all of the clients' connections
//
// It ends when its standard input is closed, so that it can't outlive its test.
//
// Three habits of a real vCenter are added to the library's: a request without a session
// and a request for a property that does not exist are faults, and long answers come in
// pages.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io/ioutil"
	"log"
	"math/big"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// pageSize is the most objects in one answer; 0 is no limit.
var pageSize int

// collector is the library's PropertyCollector with a vCenter's faults and pages.
// The library makes one for each session, by reflection, so its fields start as zeros.
type collector struct {
	simulator.PropertyCollector

	mu    sync.Mutex
	pages map[string][]types.ObjectContent
	next  int
}

func (c *collector) RetrievePropertiesEx(
	ctx *simulator.Context, req *types.RetrievePropertiesEx,
) soap.HasFault {
	if ctx.Session == nil {
		fault := &types.NotAuthenticated{NoPermission: types.NoPermission{
			Object: req.This, PrivilegeId: "System.View",
		}}
		return &methods.RetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
	}
	answer := c.PropertyCollector.RetrievePropertiesEx(ctx, req)
	body := answer.(*methods.RetrievePropertiesExBody)
	if body.Res == nil {
		return answer
	}
	if fault := firstFault(body.Res.Returnval.Objects); fault != nil {
		return &methods.RetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
	}
	c.cut(body.Res.Returnval)
	return body
}

func (c *collector) ContinueRetrievePropertiesEx(
	_ *simulator.Context, req *types.ContinueRetrievePropertiesEx,
) soap.HasFault {
	c.mu.Lock()
	rest, known := c.pages[req.Token]
	delete(c.pages, req.Token)
	c.mu.Unlock()
	if !known {
		fault := &types.InvalidArgument{InvalidProperty: "token"}
		return &methods.ContinueRetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
	}
	result := types.RetrieveResult{Objects: rest}
	c.cut(&result)
	return &methods.ContinueRetrievePropertiesExBody{
		Res: &types.ContinueRetrievePropertiesExResponse{Returnval: result},
	}
}

// cut leaves one page in result and keeps the rest under a token.
func (c *collector) cut(result *types.RetrieveResult) {
	if pageSize == 0 || len(result.Objects) <= pageSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil {
		c.pages = make(map[string][]types.ObjectContent)
	}
	c.next++
	result.Token = strconv.Itoa(c.next)
	c.pages[result.Token] = result.Objects[pageSize:]
	result.Objects = result.Objects[:pageSize]
}

// firstFault finds what a vCenter would have refused the whole request for.
func firstFault(objects []types.ObjectContent) types.BaseMethodFault {
	for _, object := range objects {
		for _, missing := range object.MissingSet {
			if fault, wrong := missing.Fault.Fault.(*types.InvalidProperty); wrong {
				return fault
			}
		}
	}
	return nil
}

// certificate signs itself for the given host names and addresses.
func certificate(names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "simulated vCenter"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
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

func expire() {
	nobody := &simulator.Context{Session: &simulator.Session{}}
	simulator.Map.SessionManager().TerminateSession(
		nobody, &types.TerminateSession{SessionId: sessions()})
}

func say(line interface{}) {
	text, err := json.Marshal(line)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

func introduce(server *simulator.Server, cert tls.Certificate) {
	der := cert.Certificate[0]
	sum1, sum256 := sha1.Sum(der), sha256.Sum256(der)
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	say(map[string]interface{}{
		"url":    server.URL.Scheme + "://" + server.URL.Host + server.URL.Path,
		"host":   host,
		"port":   number,
		"sha1":   hex.EncodeToString(sum1[:]),
		"sha256": hex.EncodeToString(sum256[:]),
		"pem":    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	})
}

// obey carries out the commands on standard input until it is closed.
func obey(server *simulator.Server) {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		switch input.Text() {
		case "sessions":
			say(len(sessions()))
		case "expire":
			expire()
			say(len(sessions()))
		case "drop":
			server.CloseClientConnections()
			say("dropped")
		default:
			say("unknown command")
		}
	}
}

func main() {
	model := simulator.VPX()
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	names := flag.String("names", "127.0.0.1,localhost", "names in the certificate")
	user := flag.String("user", "user", "user who may log in")
	password := flag.String("password", "pass", "the user's password")
	verbose := flag.Bool("v", false, "let the library log")
	flag.IntVar(&pageSize, "page", 0, "objects in one answer of the PropertyCollector; 0: all")
	flag.IntVar(&model.Datacenter, "dc", 1, "datacenters")
	flag.IntVar(&model.Cluster, "cluster", 1, "clusters in a datacenter")
	flag.IntVar(&model.ClusterHost, "host", 3, "hosts in a cluster")
	flag.IntVar(&model.Host, "standalone-host", 0, "hosts outside of clusters, in a datacenter")
	flag.IntVar(&model.Datastore, "ds", 1, "datastores")
	flag.IntVar(&model.Machine, "vm", 2, "virtual machines in a cluster and on a standalone host")
	flag.Parse()
	if !*verbose {
		log.SetOutput(ioutil.Discard)
	}
	if err := serve(model, *listen, *names, url.UserPassword(*user, *password)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(model *simulator.Model, listen, names string, login *url.Userinfo) error {
	defer model.Remove()
	if err := model.Create(); err != nil {
		return err
	}
	simulator.Map.Put(&collector{PropertyCollector: simulator.PropertyCollector{
		PropertyCollector: mo.PropertyCollector{Self: model.ServiceContent.PropertyCollector},
	}})
	cert, err := certificate(strings.Split(names, ","))
	if err != nil {
		return err
	}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	model.Service.Listen = &url.URL{Host: listen, User: login}
	server := model.Service.NewServer()
	introduce(server, cert)
	obey(server)
	server.CloseClientConnections()
	server.Close()
	return nil
}
