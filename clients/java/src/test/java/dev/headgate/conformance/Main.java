package dev.headgate.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.headgate.client.HeadgateClient;
import io.grpc.TlsChannelCredentials;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** The Java client's conformance program; tests/conformance/README.md says what it does. */
public final class Main {
  private static final List<String> OPTIONS =
      List.of("--ca", "--cert", "--key", "--token", "--authority");
  private static final Gson GSON = new GsonBuilder().serializeNulls().create();

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = new TreeMap<>();
    int next = 0;
    while (next + 2 < arguments.length && OPTIONS.contains(arguments[next])) {
      options.put(arguments[next], arguments[next + 1]);
      next += 2;
    }
    if (next + 1 != arguments.length) {
      System.err.println(
          "usage: Main [--ca F] [--cert F --key F] [--token T] [--authority N] HOST:PORT");
      System.exit(2);
    }
    ExecutorService threads = Executors.newCachedThreadPool();
    try (HeadgateClient client = client(arguments[next], options)) {
      serve(client, threads);
    } finally {
      threads.shutdownNow();
    }
  }

  private static void serve(HeadgateClient client, ExecutorService threads) throws Exception {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject wanted = JsonParser.parseString(line).getAsJsonObject();
      int count = wanted.has("count") ? wanted.get("count").getAsInt() : 1;
      List<Callable<Map<String, Object>>> witnesses = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        witnesses.add(new Witness(client, wanted));
      }
      List<Map<String, Object>> calls = new ArrayList<>();
      for (Future<Map<String, Object>> seen : threads.invokeAll(witnesses)) {
        calls.add(seen.get());
      }
      out.print(GSON.toJson(Map.of("name", wanted.get("name").getAsString(), "calls", calls)));
      out.print('\n');
      out.flush();
    }
  }

  private static HeadgateClient client(String target, Map<String, String> options)
      throws IOException {
    HeadgateClient.Builder builder = HeadgateClient.newBuilder(target);
    if (options.containsKey("--ca")) {
      TlsChannelCredentials.Builder tls =
          TlsChannelCredentials.newBuilder().trustManager(new File(options.get("--ca")));
      if (options.containsKey("--cert")) {
        tls.keyManager(new File(options.get("--cert")), new File(options.get("--key")));
      }
      builder.credentials(tls.build());
    }
    if (options.containsKey("--authority")) {
      builder.authority(options.get("--authority"));
    }
    if (options.containsKey("--token")) {
      builder.token(options.get("--token"));
    }
    return builder.build();
  }
}
