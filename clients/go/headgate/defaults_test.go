package headgate

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"testing"
	"time"
)

// Those of the shared options that are no options in grpc-go.
var noOptions = map[string]int64{
	"grpc.http2.max_pings_without_data":        0,    // grpc-go has no such limit
	"grpc.enable_retries":                      1,    // on unless switched off
	"grpc.dns_min_time_between_resolutions_ms": 5000, // for a whole process only, see the README
}

// The embedded defaults are those of the contract, byte by byte.
func TestDefaultsAreTheContracts(t *testing.T) {
	embedded := map[string]string{
		"service_config.json":   serviceConfig,
		"channel_defaults.json": string(channelDefaults),
	}
	for name, have := range embedded {
		want, err := os.ReadFile("../../../protos/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("protos/ is not there: this is not a checkout of the whole project")
		}
		if err != nil || have != string(want) {
			t.Errorf("%s is not what protos/ has; run clients/go/generate.py (%v)", name, err)
		}
	}
}

// Every shared option is an option here, or is named as one that grpc-go does not have.
func TestNoOptionIsForgotten(t *testing.T) {
	left := values(t)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[defaults]()) {
		name := field.Tag.Get("json")
		if _, there := left[name]; !there {
			t.Errorf("channel_defaults.json has no %s", name)
		}
		delete(left, name)
	}
	if !reflect.DeepEqual(left, noOptions) {
		t.Errorf("without a place in grpc-go: %v, expected %v", left, noOptions)
	}
}

// The times of the options reach grpc-go as milliseconds.
func TestTimesAreMilliseconds(t *testing.T) {
	var set defaults
	if err := json.Unmarshal(channelDefaults, &set); err != nil {
		t.Fatal(err)
	}
	all := values(t)
	alive, again := set.keepalive(), set.reconnect().Backoff
	for name, have := range map[string]time.Duration{
		"grpc.keepalive_time_ms":            alive.Time,
		"grpc.keepalive_timeout_ms":         alive.Timeout,
		"grpc.initial_reconnect_backoff_ms": again.BaseDelay,
		"grpc.max_reconnect_backoff_ms":     again.MaxDelay,
	} {
		if want := time.Duration(all[name]) * time.Millisecond; have != want {
			t.Errorf("%s is %v, expected %v", name, have, want)
		}
	}
	if want := all["grpc.keepalive_permit_without_calls"] == 1; alive.PermitWithoutStream != want {
		t.Errorf("pings without calls: %v, expected %v", alive.PermitWithoutStream, want)
	}
}

func values(t *testing.T) map[string]int64 {
	t.Helper()
	var all map[string]int64
	if err := json.Unmarshal(channelDefaults, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
