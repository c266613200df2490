//! Charts, as geometry: templates draw them with attributes alone.

use crate::view::overview::Minute;

/// The width and the height of a chart, in its own units.
pub(crate) const WIDTH: u32 = 600;
pub(crate) const HEIGHT: u32 = 92;

/// A bar of a chart: what went well, and on top of it what failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bar {
    pub(crate) x: f64,
    pub(crate) width: f64,
    pub(crate) good_y: f64,
    pub(crate) good_height: f64,
    pub(crate) bad_y: f64,
    pub(crate) bad_height: f64,
}

/// What ended, minute by minute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) bars: Vec<Bar>,
    pub(crate) ended: u64,
    pub(crate) failed: u64,
    /// The most in a minute: the height of the chart.
    pub(crate) most: u64,
}

impl Chart {
    pub(crate) fn of(series: &[Minute]) -> Self {
        let most = series.iter().map(|minute| minute.ended).max().unwrap_or_default();
        let room = f64::from(HEIGHT - 1);
        let step = f64::from(WIDTH) / to_f64(u64::try_from(series.len().max(1)).unwrap_or(1));
        let high = |runs: u64| match runs {
            0 => 0.0,
            // What there is can be seen, however little it is.
            runs => (room * to_f64(runs) / to_f64(most.max(1))).max(2.0),
        };
        let bars = (0u32..).zip(series).map(|(nth, minute)| {
            let bad_height = high(minute.failed.min(minute.ended));
            let good_height = high(minute.ended.saturating_sub(minute.failed)).min(room - bad_height);
            Bar {
                x: rounded(f64::from(nth) * step + step * 0.12),
                width: rounded(step * 0.76),
                good_y: rounded(room - good_height),
                good_height: rounded(good_height),
                bad_y: rounded(room - good_height - bad_height),
                bad_height: rounded(bad_height),
            }
        });
        Self {
            bars: bars.collect(),
            ended: series.iter().map(|minute| minute.ended).sum(),
            failed: series.iter().map(|minute| minute.failed).sum(),
            most,
        }
    }

    /// How many of 100 failed, as it is said.
    pub(crate) fn failed_share(&self) -> String {
        match self.ended {
            0 => "0 %".to_owned(),
            ended => {
                let share = 100.0 * to_f64(self.failed) / to_f64(ended);
                if share > 0.0 && share < 10.0 { format!("{share:.1} %") } else { format!("{share:.0} %") }
            }
        }
    }

    pub(crate) fn width(&self) -> u32 {
        WIDTH
    }

    pub(crate) fn height(&self) -> u32 {
        HEIGHT
    }

    /// Where the bars stand.
    pub(crate) fn ground(&self) -> u32 {
        HEIGHT - 1
    }
}

/// Counts of runs are far below the numbers that this rounds.
#[allow(clippy::cast_precision_loss)]
fn to_f64(count: u64) -> f64 {
    count as f64
}

fn rounded(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::view::Time;

    #[test]
    fn bars_stay_inside_and_what_there_is_can_be_seen() {
        let minute = |ended, failed| Minute { at: Time(DateTime::UNIX_EPOCH), ended, failed };
        let chart = Chart::of(&[minute(0, 0), minute(1, 1), minute(10_000, 1), minute(3, 9)]);
        for bar in &chart.bars {
            assert!(bar.bad_y >= 0.0 && bar.good_y + bar.good_height <= f64::from(HEIGHT) + 0.1, "{bar:?}");
            assert!(bar.x >= 0.0 && bar.x + bar.width <= f64::from(WIDTH), "{bar:?}");
        }
        assert!(chart.bars[1].bad_height >= 2.0 && chart.bars[2].bad_height >= 2.0);
        assert_eq!((chart.ended, chart.most), (10_004, 10_000));
        assert_eq!(Chart::of(&[]).failed_share(), "0 %");
    }
}
