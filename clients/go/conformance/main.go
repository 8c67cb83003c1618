// The Go client's conformance program; tests/conformance/README.md says what it does.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"

	"google.golang.org/grpc"

	"headgate.dev/go/headgate"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "conformance: %v\n", err)
		os.Exit(1)
	}
}

// run makes the calls of the standard input, one line after the other.
func run() error {
	client, err := newClient()
	if err != nil {
		return err
	}
	defer client.Close()
	lines, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var wanted line
		if err := lines.Decode(&wanted); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("the input is no call: %w", err)
		}
		if err := answers.Encode(answer{wanted.Name, all(client, wanted)}); err != nil {
			return err
		}
	}
}

// all makes the call as often as the line says, at once.
func all(client *headgate.Client, wanted line) []*seen {
	calls := make([]*seen, max(1, wanted.Count))
	var group sync.WaitGroup
	for i := range calls {
		calls[i] = newSeen()
		group.Add(1)
		go func() {
			defer group.Done()
			calls[i].make(context.Background(), client, wanted)
		}()
	}
	group.Wait()
	return calls
}

func newClient() (*headgate.Client, error) {
	ca := flag.String("ca", "", "a PEM `file` of the authorities to trust")
	cert := flag.String("cert", "", "a PEM `file` with the client's certificate")
	key := flag.String("key", "", "a PEM `file` with the certificate's key")
	token := flag.String("token", "", "sent with every call")
	authority := flag.String("authority", "", "the name that the server's certificate must have")
	flag.Parse()
	if flag.NArg() != 1 {
		return nil, errors.New("the one argument is the gateway's address")
	}
	var options []grpc.DialOption
	if *token != "" {
		options = append(options, headgate.WithToken(*token))
	}
	if *ca != "" {
		config, err := tlsConfig(*ca, *cert, *key)
		if err != nil {
			return nil, err
		}
		config.ServerName = *authority
		options = append(options, headgate.WithTLS(config))
	}
	return headgate.NewClient(flag.Arg(0), options...)
}

func tlsConfig(ca, cert, key string) (*tls.Config, error) {
	authorities, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
