//! When a failed attempt is made again: gRFC A6, as far as `service_config.json` asks for it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tonic::Code;

use crate::defaults::{
    BACKOFF_MULTIPLIER, INITIAL_BACKOFF, MAX_ATTEMPTS, MAX_BACKOFF, MAX_TOKENS, TOKEN_RATIO,
};

/// What the server says about another attempt (`grpc-retry-pushback-ms`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pushback {
    Unsaid,
    After(Duration),
    Never,
}

impl Pushback {
    /// Whatever is not one non-negative 32-bit number means never.
    pub(crate) fn of(trailers: &HeaderMap) -> Self {
        let mut values = trailers.get_all("grpc-retry-pushback-ms").iter();
        let Some(first) = values.next() else { return Self::Unsaid };
        let count = first.to_str().ok().and_then(|text| text.parse::<i32>().ok());
        match (count.map(u64::try_from), values.next()) {
            (Some(Ok(count)), None) => Self::After(Duration::from_millis(count)),
            _ => Self::Never,
        }
    }
}

/// The attempts of one call.
pub(crate) struct Attempts {
    made: u32,
    backoff: Duration,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self { made: 0, backoff: INITIAL_BACKOFF }
    }

    /// Counts an attempt that begins; returns how many there were before it.
    pub(crate) fn begin(&mut self) -> u32 {
        self.made += 1;
        self.made - 1
    }

    /// How long to wait for the next attempt, or `None` when there shall be none.
    ///
    /// `jitter` is random between 0 and 1.
    pub(crate) fn after(
        &mut self,
        code: Code,
        pushback: Pushback,
        throttle: &Throttle,
        jitter: f64,
    ) -> Option<Duration> {
        let retryable = code == Code::Unavailable;
        if retryable || pushback == Pushback::Never {
            throttle.failed();
        }
        if !retryable || self.made >= MAX_ATTEMPTS || !throttle.allows() {
            return None;
        }
        match pushback {
            Pushback::Never => None,
            Pushback::After(delay) => {
                self.backoff = INITIAL_BACKOFF;
                Some(delay)
            }
            Pushback::Unsaid => {
                let delay = self.backoff.mul_f64(0.8 + 0.4 * jitter);
                self.backoff = self.backoff.mul_f64(BACKOFF_MULTIPLIER).min(MAX_BACKOFF);
                Some(delay)
            }
        }
    }
}

/// Stops a channel's retries while many of its calls fail; counts thousandths of a token.
#[derive(Debug)]
pub(crate) struct Throttle(AtomicU32);

impl Throttle {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(MAX_TOKENS))
    }

    pub(crate) fn succeeded(&self) {
        self.update(|tokens| (tokens + TOKEN_RATIO).min(MAX_TOKENS));
    }

    fn failed(&self) {
        self.update(|tokens| tokens.saturating_sub(1000));
    }

    fn allows(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MAX_TOKENS / 2
    }

    fn update(&self, change: impl Fn(u32) -> u32) {
        let change = |tokens| Some(change(tokens));
        // It cannot fail: the change is never `None`.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_start_again_after_a_pushback() {
        let (mut attempts, throttle) = (Attempts::new(), Throttle(AtomicU32::new(u32::MAX)));
        let mut pause = |pushback, jitter| {
            attempts.after(Code::Unavailable, pushback, &throttle, jitter).unwrap()
        };
        let mut expected = INITIAL_BACKOFF;
        for _ in 0..6 {
            assert_eq!(pause(Pushback::Unsaid, 0.5), expected);
            expected = expected.mul_f64(BACKOFF_MULTIPLIER).min(MAX_BACKOFF);
        }
        assert_eq!(pause(Pushback::Unsaid, 0.0), MAX_BACKOFF.mul_f64(0.8));
        let told = Duration::from_secs(7);
        assert_eq!(pause(Pushback::After(told), 0.5), told);
        assert_eq!(pause(Pushback::Unsaid, 0.5), INITIAL_BACKOFF);
    }
}
