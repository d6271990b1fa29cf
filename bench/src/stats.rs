//! Order statistics of samples.

use std::time::Duration;

/// Of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

/// The sample below which the share `q` (`0.0..=1.0`) of `sorted` lies; zero of none.
pub(crate) fn quantile<T: Copy + Default>(sorted: &[T], q: f64) -> T {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list of samples, which is short"
    )]
    let at = (sorted.len().saturating_sub(1) as f64 * q).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// The median of some numbers, and the least and the greatest; zeros of none.
pub(crate) fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let median = quantile(&values, 0.5);
    match (values.first(), values.last()) {
        (Some(least), Some(greatest)) => Spread {
            median,
            least: *least,
            greatest: *greatest,
        },
        _ => Spread::default(),
    }
}

/// In microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::{Duration, Spread, quantile, spread};

    #[test]
    fn quantiles_are_samples() {
        let sorted: Vec<_> = (1..=101).map(Duration::from_micros).collect();
        assert_eq!(quantile(&sorted, 0.5), Duration::from_micros(51));
        assert_eq!(quantile(&sorted, 0.99), Duration::from_micros(100));
        assert_eq!(quantile::<Duration>(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_spread_is_median_least_and_greatest() {
        let all = Spread {
            median: 2.0,
            least: 1.0,
            greatest: 3.0,
        };
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), all);
        assert_eq!(spread(Vec::new()), Spread::default());
    }
}
