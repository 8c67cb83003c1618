package dev.headgate.client;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.reflect.TypeToken;
import io.grpc.ManagedChannelBuilder;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;

/**
 * The channel's settings: one named set, the same for every language's client.
 *
 * <p>The two JSON files beside this class are {@code protos/channel_defaults.json} and {@code
 * protos/service_config.json} of the project's repository, put there by the build.
 */
public final class ChannelDefaults {
  /** How this client names itself to the gateway. */
  public static final String USER_AGENT = "headgate-client-java/" + version();

  private static final JsonObject NUMBERS =
      JsonParser.parseString(text("channel_defaults.json")).getAsJsonObject();

  private ChannelDefaults() {}

  /**
   * Set everything that gRPC for Java has an option for, on a channel builder of your own.
   *
   * <p>The service config retries UNAVAILABLE only, and gRPC itself does it: the server's pushback
   * (gRFC A6) is honoured, and nothing is retried once a message has arrived. How soon a lost
   * connection is tried again is no option of gRPC for Java; {@link HeadgateClient} sees to it.
   */
  public static ManagedChannelBuilder<?> applyTo(ManagedChannelBuilder<?> builder) {
    return builder
        .userAgent(USER_AGENT)
        .defaultServiceConfig(serviceConfig())
        .keepAliveTime(number("grpc.keepalive_time_ms"), TimeUnit.MILLISECONDS)
        .keepAliveTimeout(number("grpc.keepalive_timeout_ms"), TimeUnit.MILLISECONDS)
        .keepAliveWithoutCalls(number("grpc.keepalive_permit_without_calls") != 0)
        .maxInboundMessageSize((int) number("grpc.max_receive_message_length"))
        .perRpcBufferLimit(number("grpc.per_rpc_retry_buffer_size"))
        .enableRetry()
        .intercept(new Pushback());
  }

  /** The service config in the form that gRPC for Java takes: numbers are doubles. */
  static Map<String, Object> serviceConfig() {
    return new Gson()
        .fromJson(text("service_config.json"), new TypeToken<Map<String, Object>>() {}.getType());
  }

  /** One of the channel's defaults by gRPC's own name: milliseconds, bytes, or 0 and 1. */
  static long number(String name) {
    return NUMBERS.get(name).getAsLong();
  }

  private static String version() {
    Properties properties = new Properties();
    try {
      properties.load(new StringReader(text("version.properties")));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return properties.getProperty("version");
  }

  private static String text(String name) {
    try (InputStream file = ChannelDefaults.class.getResourceAsStream(name)) {
      return new String(file.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
