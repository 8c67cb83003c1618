package headgate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

// With TLS both sides know each other; a client that trusts nobody or shows nothing gets no answer.
func TestMutualTLS(t *testing.T) {
	server, client := certificate(t, "gateway.test"), certificate(t, "caller.test")
	demanded := grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{server},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool(client),
	}))
	fake := &gateway{chat: func(
		ctx context.Context, _ *headgatev1.ChatRequest,
	) (*headgatev1.ChatResponse, error) {
		from, _ := peer.FromContext(ctx)
		name := from.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].DNSNames[0]
		return &headgatev1.ChatResponse{Model: name}, nil
	}}
	own := []tls.Certificate{client}
	for name, step := range map[string]struct {
		config *tls.Config
		code   codes.Code
	}{
		"right":          {&tls.Config{RootCAs: pool(server), Certificates: own, ServerName: "gateway.test"}, codes.OK},
		"another name":   {&tls.Config{RootCAs: pool(server), Certificates: own, ServerName: "x.test"}, codes.Unavailable},
		"unknown server": {&tls.Config{RootCAs: pool(client), Certificates: own, ServerName: "gateway.test"}, codes.Unavailable},
		"no certificate": {&tls.Config{RootCAs: pool(server), ServerName: "gateway.test"}, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, stub := fake.serve(t, []grpc.ServerOption{demanded}, headgate.WithTLS(step.config))
			response, err := stub.Chat(t.Context(), headgate.Ask("Hi"))
			if step.code != codes.OK {
				expect(t, err, step.code, "")
			} else if err != nil || response.GetModel() != "caller.test" {
				t.Errorf("the gateway saw %q, %v", response.GetModel(), err)
			}
		})
	}
}

// certificate is one that vouches for itself.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	data, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(data)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{data}, PrivateKey: key, Leaf: parsed}
}

func pool(certificate tls.Certificate) *x509.CertPool {
	trusted := x509.NewCertPool()
	trusted.AddCert(certificate.Leaf)
	return trusted
}
