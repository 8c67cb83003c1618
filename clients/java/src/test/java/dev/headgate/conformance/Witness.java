package dev.headgate.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.MessageLite;
import dev.headgate.client.ChatStream;
import dev.headgate.client.HeadgateClient;
import dev.headgate.client.HeadgateException;
import dev.headgate.v1.ChatChoice;
import dev.headgate.v1.ChatDelta;
import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatResponse;
import dev.headgate.v1.ChatServiceGrpc.ChatServiceBlockingStub;
import dev.headgate.v1.StreamChatResponse;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** Makes one call, and remembers what it saw of it. */
final class Witness implements Callable<Map<String, Object>> {
  private final HeadgateClient client;
  private final JsonObject line;
  private final JsonObject cancel;
  private final List<String> messages = new ArrayList<>();
  private final List<List<Object>> events = new ArrayList<>();
  private final Map<String, Integer> counts = new HashMap<>();
  private final Map<String, StringBuilder> text = new TreeMap<>();
  private final AtomicReference<Metadata> trailers = new AtomicReference<>();

  Witness(HeadgateClient client, JsonObject line) {
    this.client = client;
    this.line = line;
    this.cancel = line.has("cancel") ? line.getAsJsonObject("cancel") : new JsonObject();
  }

  @Override
  public Map<String, Object> call() throws Exception {
    long began = System.nanoTime();
    Map<String, Object> seen = new LinkedHashMap<>();
    try {
      if (line.get("method").getAsString().equals("Chat")) {
        chat();
      } else {
        streamChat();
      }
      tellSuccess(seen);
    } catch (StatusRuntimeException error) {
      tell(seen, HeadgateException.from(error));
    }
    seen.put("events", events);
    seen.put("text", text);
    seen.put("messages", messages);
    seen.put("elapsed_ms", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began));
    return seen;
  }

  private void chat() throws Exception {
    ChatRequest request = request();
    Context.CancellableContext context = Context.current().withCancellation();
    cancelLater(() -> context.cancel(null));
    ChatResponse response = context.call(() -> stub().chat(request));
    remember(response);
    for (ChatChoice choice : response.getChoicesList()) {
      add(choice.getIndex(), choice.getMessage().getContent());
    }
  }

  private void streamChat() throws Exception {
    try (ChatStream stream = ChatStream.open(stub(), request())) {
      cancelLater(stream::cancel);
      if (line.has("helper")) {
        readText(stream);
      } else {
        read(stream);
      }
    }
  }

  private void readText(ChatStream stream) {
    for (String piece : stream.text()) {
      add(0, piece);
      cancelAt(stream, "deltas", counts.merge("text", 1, Integer::sum));
    }
  }

  private void read(ChatStream stream) throws InterruptedException {
    for (StreamChatResponse event : stream) {
      remember(event);
      String name = name(event);
      if (event.hasDelta()) {
        ChatDelta delta = event.getDelta();
        add(delta.getChoiceIndex(), delta.getContent());
      }
      count(name);
      cancelAt(stream, name.equals("delta") ? "deltas" : name, counts.get(name));
      if (messages.size() == 1 && line.has("pause_ms")) {
        Thread.sleep(line.get("pause_ms").getAsLong());
      }
    }
  }

  private void count(String name) {
    counts.merge(name, 1, Integer::sum);
    List<Object> last = events.isEmpty() ? List.of("") : events.get(events.size() - 1);
    if (last.get(0).equals(name)) {
      events.set(events.size() - 1, List.of(name, (Integer) last.get(1) + 1));
    } else {
      events.add(List.of(name, 1));
    }
  }

  private void cancelAt(ChatStream stream, String key, int count) {
    if (cancel.has(key) && cancel.get(key).getAsInt() == count) {
      stream.cancel();
    }
  }

  private void cancelLater(Runnable action) {
    if (cancel.has("ms")) {
      CompletableFuture.delayedExecutor(cancel.get("ms").getAsLong(), TimeUnit.MILLISECONDS)
          .execute(action);
    }
  }

  private ChatServiceBlockingStub stub() {
    Metadata metadata = new Metadata();
    if (line.has("metadata")) {
      for (Map.Entry<String, JsonElement> each : line.getAsJsonObject("metadata").entrySet()) {
        metadata.put(key(each.getKey()), each.getValue().getAsString());
      }
    }
    ChatServiceBlockingStub stub =
        client
            .blocking()
            .withInterceptors(
                MetadataUtils.newAttachHeadersInterceptor(metadata),
                MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailers));
    return line.has("timeout_ms")
        ? stub.withDeadlineAfter(line.get("timeout_ms").getAsLong(), TimeUnit.MILLISECONDS)
        : stub;
  }

  private ChatRequest request() throws Exception {
    byte[] binary = Base64.getDecoder().decode(line.get("request").getAsString());
    ChatRequest.Builder request = ChatRequest.parseFrom(binary).toBuilder();
    if (line.has("fill")) {
      int last = request.getMessagesCount() - 1;
      request.getMessagesBuilder(last).setContent("a".repeat(line.get("fill").getAsInt()));
    }
    return request.build();
  }

  private void remember(MessageLite message) {
    if (!line.has("helper")) {
      messages.add(Base64.getEncoder().encodeToString(message.toByteArray()));
    }
  }

  private void add(int choice, String content) {
    if (!content.isEmpty()) {
      text.computeIfAbsent(Integer.toString(choice), index -> new StringBuilder()).append(content);
    }
  }

  private void tellSuccess(Map<String, Object> seen) {
    seen.put("code", "OK");
    seen.put("message", "");
    seen.put("reason", "");
    seen.put("retry_delay_ms", null);
    seen.put("metadata", Map.of());
    seen.put("violations", List.of());
    seen.put("trailers", told(trailers.get()));
  }

  private static void tell(Map<String, Object> seen, HeadgateException error) {
    String description = error.getStatus().getDescription();
    List<List<String>> violations = new ArrayList<>();
    error.violations().forEach(v -> violations.add(List.of(v.getField(), v.getDescription())));
    seen.put("code", error.code().name());
    seen.put("message", description == null ? "" : description);
    seen.put("reason", error.reasonName());
    seen.put("retry_delay_ms", error.retryDelay().map(Duration::toMillis).orElse(null));
    seen.put("metadata", error.metadata());
    seen.put("violations", violations);
    seen.put("trailers", told(error.getTrailers()));
  }

  private static Map<String, String> told(Metadata trailers) {
    Map<String, String> told = new TreeMap<>();
    for (String name : trailers.keys()) {
      if (name.startsWith("headgate-")
          || name.equals("x-request-id")
          || name.equals("grpc-retry-pushback-ms")) {
        told.put(name, trailers.get(key(name)));
      }
    }
    return told;
  }

  private static String name(StreamChatResponse event) {
    return event.getEventCase() == StreamChatResponse.EventCase.EVENT_NOT_SET
        ? ""
        : event.getEventCase().name().toLowerCase(Locale.ROOT);
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
