/**
 * The Java client of headgate: chat completions over gRPC, with typed errors and streams.
 *
 * <pre>{@code
 * try (HeadgateClient client = HeadgateClient.connect("127.0.0.1:50051");
 *     ChatStream answer = client.streamChat(HeadgateClient.ask("Hello!"))) {
 *   for (String piece : answer.text()) {
 *     System.out.print(piece);
 *   }
 * }
 * }</pre>
 */
package dev.headgate.client;
