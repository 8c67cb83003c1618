package dev.headgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class ReconnectionTest {
  private static final double MIDDLE = 0.5; // no jitter

  private final FakeChannel channel = new FakeChannel();
  private final List<Long> delays = new ArrayList<>();
  private Runnable due;
  private double random = MIDDLE;
  private final Reconnection reconnection =
      new Reconnection(channel, 200, 1000, this::schedule, () -> random);

  /** While connecting fails it is tried again, twice as long apart each time, up to the limit. */
  @Test
  void triesAgainUpToTheLongestDelay() {
    reconnection.watch();
    channel.become(ConnectivityState.TRANSIENT_FAILURE);
    for (int i = 0; i < 4; i++) {
      due.run();
    }

    assertEquals(List.of(200L, 400L, 800L, 1000L, 1000L), delays);
    assertEquals(4, channel.resets);
  }

  /** Delays are spread by a fifth, so that not all clients come at once. */
  @Test
  void spreadsDelays() {
    reconnection.watch();
    random = 0;
    channel.become(ConnectivityState.TRANSIENT_FAILURE);
    random = 1;
    due.run();

    assertEquals(List.of(160L, 480L), delays);
  }

  /** A connection that came back is left alone, and the next loss begins anew. */
  @Test
  void beginsAnewAfterSuccess() {
    reconnection.watch();
    channel.become(ConnectivityState.TRANSIENT_FAILURE);
    due.run();
    channel.become(ConnectivityState.READY);
    due.run();
    channel.become(ConnectivityState.TRANSIENT_FAILURE);

    assertEquals(List.of(200L, 400L, 200L), delays);
    assertEquals(1, channel.resets);
  }

  /** A channel that was shut down is watched no longer. */
  @Test
  void endsWithTheChannel() {
    reconnection.watch();
    channel.become(ConnectivityState.SHUTDOWN);

    assertEquals(List.of(), delays);
    assertNull(channel.callback);
  }

  private void schedule(long milliseconds, Runnable task) {
    delays.add(milliseconds);
    due = task;
  }

  private static final class FakeChannel extends ManagedChannel {
    private ConnectivityState state = ConnectivityState.IDLE;
    private Runnable callback;
    private int resets;

    void become(ConnectivityState next) {
      state = next;
      Runnable told = callback;
      callback = null;
      if (told != null) {
        told.run();
      }
    }

    @Override
    public ConnectivityState getState(boolean requestConnection) {
      return state;
    }

    @Override
    public void notifyWhenStateChanged(ConnectivityState source, Runnable task) {
      assertEquals(state, source);
      callback = task;
    }

    @Override
    public void resetConnectBackoff() {
      resets++;
    }

    @Override
    public ManagedChannel shutdown() {
      return this;
    }

    @Override
    public ManagedChannel shutdownNow() {
      return this;
    }

    @Override
    public boolean isShutdown() {
      return state == ConnectivityState.SHUTDOWN;
    }

    @Override
    public boolean isTerminated() {
      return isShutdown();
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
      return true;
    }

    @Override
    public <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options) {
      throw new UnsupportedOperationException();
    }

    @Override
    public String authority() {
      return "fake";
    }
  }
}
