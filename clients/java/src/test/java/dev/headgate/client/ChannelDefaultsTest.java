package dev.headgate.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import com.google.gson.Gson;
import com.google.gson.JsonParser;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingChannelBuilder2;
import io.grpc.ManagedChannelBuilder;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ChannelDefaultsTest {
  private static final Path PROTOS = Path.of("..", "..", "protos");

  /** What gRPC for Java has no option for; the README says what is done about each. */
  private static final Set<String> NO_OPTION =
      Set.of(
          "grpc.http2.max_pings_without_data",
          "grpc.max_send_message_length",
          "grpc.dns_min_time_between_resolutions_ms");

  /** What Reconnection does, because gRPC for Java has no option for it. */
  private static final Set<String> RECONNECTION =
      Set.of("grpc.initial_reconnect_backoff_ms", "grpc.max_reconnect_backoff_ms");

  /** The package carries the project's own defaults, byte by byte. */
  @ParameterizedTest
  @ValueSource(strings = {"service_config.json", "channel_defaults.json"})
  void carriesTheSharedDefaults(String name) throws Exception {
    try (InputStream packaged = ChannelDefaults.class.getResourceAsStream(name)) {
      assertArrayEquals(Files.readAllBytes(PROTOS.resolve(name)), packaged.readAllBytes());
    }
  }

  /** A channel is opened with every shared default that gRPC for Java has an option for. */
  @Test
  void opensChannelsWithTheSharedDefaults() throws Exception {
    Recorder recorder = new Recorder();
    ChannelDefaults.applyTo(recorder);

    Map<String, Long> shared = new HashMap<>();
    JsonParser.parseString(Files.readString(PROTOS.resolve("channel_defaults.json")))
        .getAsJsonObject()
        .entrySet()
        .forEach(each -> shared.put(each.getKey(), each.getValue().getAsLong()));
    Set<String> names = new TreeSet<>(shared.keySet());
    names.removeAll(NO_OPTION);
    names.removeAll(RECONNECTION);
    assertEquals(names, new TreeSet<>(recorder.set.keySet()));
    recorder.set.forEach((name, value) -> assertEquals(shared.get(name), value, name));
    assertEquals("headgate-client-java/0.1.0", recorder.userAgent);
    assertEquals(ChannelDefaults.serviceConfig(), recorder.serviceConfig);
  }

  /** Every channel's service config retries UNAVAILABLE only; gRPC itself accepts the config. */
  @Test
  void serviceConfigIsTheSharedOne() throws Exception {
    assertEquals(
        JsonParser.parseString(Files.readString(PROTOS.resolve("service_config.json"))),
        new Gson().toJsonTree(ChannelDefaults.serviceConfig()));
    HeadgateClient.connect("127.0.0.1:1").close();
  }

  /** Remembers, by the shared names, what a channel is opened with. */
  private static final class Recorder extends ForwardingChannelBuilder2<Recorder> {
    private final Map<String, Long> set = new HashMap<>();
    private String userAgent;
    private Map<String, ?> serviceConfig;

    @Override
    protected ManagedChannelBuilder<?> delegate() {
      throw new UnsupportedOperationException("an option that this test does not know");
    }

    @Override
    public Recorder userAgent(String name) {
      userAgent = name;
      return this;
    }

    @Override
    public Recorder defaultServiceConfig(Map<String, ?> config) {
      serviceConfig = config;
      return this;
    }

    @Override
    public Recorder keepAliveTime(long time, TimeUnit unit) {
      return note("grpc.keepalive_time_ms", unit.toMillis(time));
    }

    @Override
    public Recorder keepAliveTimeout(long time, TimeUnit unit) {
      return note("grpc.keepalive_timeout_ms", unit.toMillis(time));
    }

    @Override
    public Recorder keepAliveWithoutCalls(boolean enable) {
      return note("grpc.keepalive_permit_without_calls", enable ? 1 : 0);
    }

    @Override
    public Recorder maxInboundMessageSize(int bytes) {
      return note("grpc.max_receive_message_length", bytes);
    }

    @Override
    public Recorder perRpcBufferLimit(long bytes) {
      return note("grpc.per_rpc_retry_buffer_size", bytes);
    }

    @Override
    public Recorder enableRetry() {
      return note("grpc.enable_retries", 1);
    }

    @Override
    public Recorder intercept(ClientInterceptor... interceptors) {
      assertInstanceOf(Pushback.class, interceptors[0]);
      return this;
    }

    private Recorder note(String name, long value) {
      set.put(name, value);
      return this;
    }
  }
}
