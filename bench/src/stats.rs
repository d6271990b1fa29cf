//! Order statistics of samples.

/// Of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

/// The sample below which the share `q` (`0.0..=1.0`) of the samples lies; zero of none.
pub(crate) fn quantile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list of samples, which is short"
    )]
    let at = (samples.len().saturating_sub(1) as f64 * q).round() as usize;
    samples.get(at).copied().unwrap_or_default()
}

/// The median of some numbers, and the least and the greatest; zeros of none.
pub(crate) fn spread(mut values: Vec<f64>) -> Spread {
    let median = quantile(&mut values, 0.5);
    match (values.first(), values.last()) {
        (Some(least), Some(greatest)) => Spread {
            median,
            least: *least,
            greatest: *greatest,
        },
        _ => Spread::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, quantile, spread};

    #[test]
    fn quantiles_are_samples() {
        let mut samples: Vec<_> = (1..=101).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut samples, 0.5), 51.0);
        assert_eq!(quantile(&mut samples, 0.99), 100.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
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
