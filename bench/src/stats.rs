//! Order statistics of samples.

use std::time::Duration;

/// The sample below which the share `q` (`0.0..=1.0`) of `sorted` lies; zero of none.
pub(crate) fn quantile(sorted: &[Duration], q: f64) -> Duration {
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
pub(crate) fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(greatest)) => (*median, *least, *greatest),
        _ => (0.0, 0.0, 0.0),
    }
}

/// In microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::{quantile, spread};
    use std::time::Duration;

    #[test]
    fn quantiles_are_samples() {
        let sorted: Vec<_> = (1..=101).map(Duration::from_micros).collect();
        assert_eq!(quantile(&sorted, 0.5), Duration::from_micros(51));
        assert_eq!(quantile(&sorted, 0.99), Duration::from_micros(100));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_spread_is_median_least_and_greatest() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(spread(Vec::new()), (0.0, 0.0, 0.0));
    }
}
