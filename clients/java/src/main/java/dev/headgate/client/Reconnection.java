package dev.headgate.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;

/**
 * Tries a lost connection again as soon as {@code channel_defaults.json} says.
 *
 * <p>gRPC for Java waits 1 s at first and up to 2 minutes later, and has no option for either: a
 * client would be blind for two minutes after a gateway had come back.
 */
final class Reconnection {
  /** Runs a task so many milliseconds later. */
  interface Timer {
    void after(long milliseconds, Runnable task);
  }

  private static final double JITTER = 0.2; // as gRPC's own connection backoff

  private final ManagedChannel channel;
  private final long firstDelay;
  private final long longestDelay;
  private final Timer timer;
  private final DoubleSupplier random;

  /**
   * Delays are in milliseconds.
   *
   * @param random gives numbers from 0.0 up to, and without, 1.0
   */
  Reconnection(
      ManagedChannel channel,
      long firstDelay,
      long longestDelay,
      Timer timer,
      DoubleSupplier random) {
    this.channel = channel;
    this.firstDelay = firstDelay;
    this.longestDelay = longestDelay;
    this.timer = timer;
    this.random = random;
  }

  static ManagedChannel watch(ManagedChannel channel) {
    new Reconnection(
            channel,
            ChannelDefaults.number("grpc.initial_reconnect_backoff_ms"),
            ChannelDefaults.number("grpc.max_reconnect_backoff_ms"),
            Reconnection::later,
            () -> ThreadLocalRandom.current().nextDouble())
        .watch();
    return channel;
  }

  void watch() {
    ConnectivityState state = channel.getState(false);
    if (state == ConnectivityState.TRANSIENT_FAILURE) {
      again(firstDelay);
    } else if (state != ConnectivityState.SHUTDOWN) {
      channel.notifyWhenStateChanged(state, this::watch);
    }
  }

  private void again(long delay) {
    double jitter = 1 + JITTER * (2 * random.getAsDouble() - 1);
    timer.after((long) (delay * jitter), () -> connect(Math.min(2 * delay, longestDelay)));
  }

  private void connect(long nextDelay) {
    if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
      again(nextDelay);
    } else {
      watch();
    }
  }

  private static void later(long milliseconds, Runnable task) {
    CompletableFuture.delayedExecutor(milliseconds, TimeUnit.MILLISECONDS).execute(task);
  }
}
