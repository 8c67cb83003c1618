package dev.headgate.client;

import dev.headgate.v1.ChatDelta;
import dev.headgate.v1.ChatMessage;
import dev.headgate.v1.FunctionCall;
import dev.headgate.v1.Role;
import dev.headgate.v1.ToolCallDelta;
import java.util.SortedMap;
import java.util.TreeMap;

/** The first choice's message, put together from its deltas. */
final class MessageAssembly {
  private final StringBuilder content = new StringBuilder();
  private final StringBuilder reasoning = new StringBuilder();
  private final StringBuilder refusal = new StringBuilder();
  private final SortedMap<Integer, ToolCall> toolCalls = new TreeMap<>();

  void add(ChatDelta delta) {
    if (delta.getChoiceIndex() != 0) {
      return;
    }
    content.append(delta.getContent());
    reasoning.append(delta.getReasoningContent());
    refusal.append(delta.getRefusal());
    for (ToolCallDelta piece : delta.getToolCallsList()) {
      toolCalls.computeIfAbsent(piece.getIndex(), index -> new ToolCall()).add(piece);
    }
  }

  ChatMessage message() {
    ChatMessage.Builder message =
        ChatMessage.newBuilder()
            .setRole(Role.ROLE_ASSISTANT)
            .setContent(content.toString())
            .setReasoningContent(reasoning.toString())
            .setRefusal(refusal.toString());
    toolCalls.values().forEach(call -> message.addToolCalls(call.build()));
    return message.build();
  }

  private static final class ToolCall {
    private String id = "";
    private String name = "";
    private final StringBuilder arguments = new StringBuilder();

    void add(ToolCallDelta piece) {
      id = id.isEmpty() ? piece.getId() : id;
      name = name.isEmpty() ? piece.getName() : name;
      arguments.append(piece.getArguments());
    }

    FunctionCall build() {
      return FunctionCall.newBuilder()
          .setId(id)
          .setName(name)
          .setArguments(arguments.toString())
          .build();
    }
  }
}
