//! Grid search: every candidate is trained for the same number of steps, and scored on the way.

use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator};

use super::{Error, Trainee, ranking};

/// Trains a new trainee with each of the candidates and scores it when it has made so many steps in all, for each of the
/// ascending `checkpoints`. The result has a row per candidate.
///
/// `stop` is asked before each piece of training; when it says true, the search ends with [`Error::Interrupted`].
pub fn search<T: Trainee>(
    candidates: &[Vec<f64>],
    checkpoints: &[u64],
    new: impl Fn(&[f64]) -> Result<T, T::Error> + Sync,
    stop: impl Fn() -> bool + Sync,
) -> Result<Vec<Vec<f64>>, Error<T::Error>> {
    let scores = candidates.par_iter().with_max_len(1).enumerate().map(|(member, hyper)| {
        let mut trainee = new(hyper).map_err(|error| Error::Trainee { member, error })?;
        train(&mut trainee, hyper, checkpoints, &stop).map_err(|error| match error {
            Error::Trainee { error, .. } => Error::Trainee { member, error },
            other => other,
        })
    });
    // Collected one by one, so that of several errors it is always the first candidate's.
    scores.collect::<Vec<_>>().into_iter().collect()
}

/// The same for one candidate, whose number in an error is 0.
pub fn train<T: Trainee>(
    trainee: &mut T,
    hyper: &[f64],
    checkpoints: &[u64],
    stop: impl Fn() -> bool,
) -> Result<Vec<f64>, Error<T::Error>> {
    if checkpoints.first() == Some(&0) || !checkpoints.is_sorted_by(|a, b| a < b) {
        let why = format!("the steps to score after must ascend from 1: {checkpoints:?}");
        return Err(Error::Settings(why));
    }
    let failed = |error| Error::Trainee { member: 0, error };
    let mut done = 0;
    let mut scores = Vec::new();
    for &checkpoint in checkpoints {
        if stop() {
            return Err(Error::Interrupted);
        }
        trainee.train(hyper, checkpoint - done).map_err(failed)?;
        done = checkpoint;
        scores.push(trainee.score().map_err(failed)?);
    }
    Ok(scores)
}

/// Which candidate has the best score at the last checkpoint; of equal ones the first. None without a score.
pub fn best(scores: &[Vec<f64>]) -> Option<usize> {
    let last: Option<Vec<f64>> = scores.iter().map(|row| row.last().copied()).collect();
    ranking(&last?).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Descends x^2 from 1; fails where the rate is negative.
    struct Parabola(f64);

    impl Trainee for Parabola {
        type Error = &'static str;

        fn train(&mut self, hyper: &[f64], steps: u64) -> Result<(), Self::Error> {
            if hyper[0] < 0.0 {
                return Err("the rate is negative");
            }
            for _ in 0..steps {
                self.0 -= hyper[0] * 2.0 * self.0;
            }
            Ok(())
        }

        fn score(&mut self) -> Result<f64, Self::Error> {
            Ok(-self.0.abs())
        }

        fn copy_from(&mut self, other: &Self) -> Result<(), Self::Error> {
            self.0 = other.0;
            Ok(())
        }
    }

    fn candidates(rates: &[f64]) -> Vec<Vec<f64>> {
        rates.iter().map(|&rate| vec![rate]).collect()
    }

    fn search_parabola(
        rates: &[f64],
        checkpoints: &[u64],
    ) -> Result<Vec<Vec<f64>>, Error<&'static str>> {
        search(&candidates(rates), checkpoints, |_| Ok(Parabola(1.0)), || false)
    }

    #[test]
    fn every_candidate_is_scored_at_every_checkpoint() {
        let rates = [0.01, 0.25, 0.99, 5.0];
        let scores = search_parabola(&rates, &[1, 3, 10]).unwrap();
        assert_eq!(scores.len(), 4);
        assert_eq!(scores[1], [-0.5, -0.125, -0.5f64.powi(10)]);
        assert_eq!(best(&scores), Some(1));
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| search_parabola(&rates, &[1, 3, 10])).unwrap(), scores);
        }
    }

    #[test]
    fn the_best_is_no_nan_and_the_first_of_equals() {
        let rows = |last: &[f64]| last.iter().map(|&score| vec![9.0, score]).collect::<Vec<_>>();
        assert_eq!(best(&rows(&[f64::NAN, 1.0, 2.0, 2.0])), Some(2));
        assert_eq!(best(&rows(&[f64::NAN])), Some(0));
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[vec![]]), None);
        // x alternates between infinity and its negative, and the difference of two is NaN.
        let scores = search_parabola(&[1e300, 0.4], &[10]).unwrap();
        assert!(scores[0][0].is_nan());
        assert_eq!(best(&scores), Some(1));
    }

    #[test]
    fn steps_to_score_after_must_ascend() {
        for checkpoints in [&[0, 1][..], &[2, 1], &[3, 3]] {
            let error = search_parabola(&[0.1], checkpoints).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("must ascend") && text.lines().count() == 1, "{text}");
        }
        assert_eq!(search_parabola(&[0.1], &[]).unwrap(), [[0.0; 0]]);
        assert_eq!(search_parabola(&[], &[1]).unwrap(), [[0.0; 0]; 0]);
    }

    #[test]
    fn errors_name_the_first_candidate_that_failed() {
        let error = search_parabola(&[0.1, -1.0, 0.1, -2.0], &[1]).unwrap_err();
        assert_eq!(error, Error::Trainee { member: 1, error: "the rate is negative" });
        let new = |hyper: &[f64]| {
            if hyper[0] < 0.3 { Ok(Parabola(1.0)) } else { Err("no room") }
        };
        let error = search(&candidates(&[0.1, 0.2, 0.3]), &[1], new, || false).unwrap_err();
        assert_eq!(error, Error::Trainee { member: 2, error: "no room" });
    }

    #[test]
    fn it_can_be_interrupted() {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) == 1;
        let mut parabola = Parabola(1.0);
        assert_eq!(train(&mut parabola, &[0.25], &[1, 2, 3], stop), Err(Error::Interrupted));
        assert_eq!(parabola.0, 0.5); // one step
        let all = search(&candidates(&[0.1]), &[1], |_| Ok(Parabola(1.0)), || true);
        assert_eq!(all, Err(Error::Interrupted));
    }
}
