package dev.headgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.headgate.v1.ChatDelta;
import dev.headgate.v1.ChatMessage;
import dev.headgate.v1.FunctionCall;
import dev.headgate.v1.Role;
import dev.headgate.v1.ToolCallDelta;
import org.junit.jupiter.api.Test;

class MessageAssemblyTest {
  /** Appending the first choice's pieces gives its message; calls of functions join by index. */
  @Test
  void joinsPieces() {
    MessageAssembly assembly = new MessageAssembly();
    assembly.add(ChatDelta.newBuilder().setReasoningContent("Hm").build());
    assembly.add(ChatDelta.newBuilder().setReasoningContent("m.").setContent("I").build());
    assembly.add(ChatDelta.newBuilder().setChoiceIndex(1).setContent("not mine").build());
    assembly.add(ChatDelta.newBuilder().setContent(" call").build());
    assembly.add(calls(piece(1, "b", "later", "")));
    assembly.add(calls(piece(0, "a", "now", "{\"x\":"), piece(1, "", "", "{}")));
    assembly.add(calls(piece(0, "", "", "1}")));

    assertEquals(
        ChatMessage.newBuilder()
            .setRole(Role.ROLE_ASSISTANT)
            .setContent("I call")
            .setReasoningContent("Hmm.")
            .addToolCalls(call("a", "now", "{\"x\":1}"))
            .addToolCalls(call("b", "later", "{}"))
            .build(),
        assembly.message());
  }

  private static ChatDelta calls(ToolCallDelta.Builder... pieces) {
    ChatDelta.Builder delta = ChatDelta.newBuilder();
    for (ToolCallDelta.Builder piece : pieces) {
      delta.addToolCalls(piece);
    }
    return delta.build();
  }

  private static ToolCallDelta.Builder piece(int index, String id, String name, String arguments) {
    return ToolCallDelta.newBuilder()
        .setIndex(index)
        .setId(id)
        .setName(name)
        .setArguments(arguments);
  }

  private static FunctionCall call(String id, String name, String arguments) {
    return FunctionCall.newBuilder().setId(id).setName(name).setArguments(arguments).build();
  }
}
