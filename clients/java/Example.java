import dev.headgate.client.ChatStream;
import dev.headgate.client.HeadgateClient;
import dev.headgate.client.HeadgateException;
import java.time.Duration;

/** Streams the answer to a prompt: java -cp "..." Example.java "Tell me a story". */
public final class Example {
  public static void main(String[] arguments) {
    String target = System.getenv().getOrDefault("HEADGATE_TARGET", HeadgateClient.DEFAULT_TARGET);
    String prompt = arguments.length > 0 ? String.join(" ", arguments) : "Tell me a story";

    try (HeadgateClient client = HeadgateClient.connect(target);
        ChatStream answer = client.streamChat(HeadgateClient.ask(prompt), Duration.ofSeconds(60))) {
      for (String piece : answer.text()) {
        System.out.print(piece);
        System.out.flush();
      }
      System.out.println();
      answer.usage().ifPresent(usage -> System.out.println(usage.getTotalTokens() + " tokens"));
    } catch (HeadgateException error) {
      String later = error.retryDelay().map(delay -> "; try again in " + delay).orElse("");
      System.err.println(error.getMessage() + later);
      System.exit(1);
    }
  }
}
