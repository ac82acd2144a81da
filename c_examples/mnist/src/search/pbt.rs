//! Population based training (Jaderberg et al., "Population Based Training of Neural Networks", 2017).
//!
//! All members train side by side for some steps, and are scored: a round. Before the next one each of the worst copies
//! a member drawn from the best, with all that it has learned and its hyperparameters (exploit), and then changes these
//! (explore). So the search costs no more than training all members once, and the hyperparameters of the winner are a
//! schedule: what was good at first need not be so at the end.
//!
//! This is the paper's truncation selection, with both of its ways to explore: a hyperparameter is multiplied by one of
//! some factors, or drawn anew.

use std::iter;

use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, IntoParallelRefMutIterator as _,
    ParallelIterator,
};

use super::{Error, Random, Trainee, ranking};

/// Where the streams of random numbers begin, so that none serves two purposes.
const DRAW: u64 = 0;
const EXPLORE: u64 = 1 << 32;
const ORDER: u64 = 2 << 32;

/// How a population is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Steps of a round.
    pub ready_every: u64,
    /// How often all members train; between two rounds the worst may copy.
    pub rounds: usize,
    /// So many of the worst change between two rounds ...
    pub losers: usize,
    /// ... and copy one of so many of the best.
    pub winners: usize,
    /// Explore: a hyperparameter is multiplied by one of these factors ...
    pub perturb: Vec<f64>,
    /// ... or, with this probability, drawn from its prior.
    pub redraw: f64,
    /// Without it the losers keep what they have learned, and explore from their own hyperparameters.
    pub exploit: bool,
    /// Without it the losers go on with exactly the winner's hyperparameters.
    pub explore: bool,
}

/// The distribution that a hyperparameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prior {
    /// Uniform from the first to the second.
    Uniform(f64, f64),
    /// 10 to the power of a uniform number from the first to the second.
    LogUniform(f64, f64),
}

impl Prior {
    /// The value with this share of the distribution below it.
    pub fn quantile(&self, share: f64) -> f64 {
        match *self {
            Prior::Uniform(low, high) => low + share * (high - low),
            // libm's is the same on every machine, which the standard library does not promise.
            Prior::LogUniform(low, high) => libm::exp10(low + share * (high - low)),
        }
    }

    fn is_valid(&self) -> bool {
        let (Prior::Uniform(low, high) | Prior::LogUniform(low, high)) = *self;
        low < high && low.is_finite() && high.is_finite()
    }
}

/// How a member came to the weights and hyperparameters of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// In the first round: those that it was given.
    Start,
    /// Those of the round before.
    Keep,
    /// Copied, and nothing changed.
    Copy,
    /// Its hyperparameters were multiplied by factors.
    Perturb,
    /// At least one hyperparameter was drawn anew.
    Redraw,
}

/// One member in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// From 1.
    pub round: usize,
    /// From 0.
    pub member: usize,
    /// Which member it copied before the round, if it copied one.
    pub parent: Option<usize>,
    /// What else happened to it before the round.
    pub event: Event,
    /// What it trained with in this round.
    pub hyper: Vec<f64>,
    /// Steps so far, at the end of the round.
    pub step: u64,
    /// At the end of the round.
    pub score: f64,
}

/// A record for each member in each round, by round, and in it by member.
#[derive(Clone, Debug, PartialEq)]
pub struct History(pub Vec<Record>);

impl History {
    /// The rounds, each with a record per member.
    pub fn rounds(&self) -> impl Iterator<Item = &[Record]> {
        self.0.chunk_by(|a, b| a.round == b.round)
    }

    /// The best member at the end.
    pub fn winner(&self) -> Option<&Record> {
        best(self.rounds().last()?)
    }

    /// Whom this final member descends from: a member for each round, itself in the last.
    pub fn ancestry(&self, member: usize) -> Vec<usize> {
        let rounds: Vec<_> = self.rounds().collect();
        let mut path = vec![member; rounds.len()];
        for round in (1..rounds.len()).rev() {
            path[round - 1] = rounds[round][path[round]].parent.unwrap_or(path[round]);
        }
        path
    }
}

/// The best record of a round.
pub fn best(round: &[Record]) -> Option<&Record> {
    Some(&round[*ranking(&scores(round)).first()?])
}

/// The middle score of a round, or the mean of the two in the middle.
pub fn median(round: &[Record]) -> Option<f64> {
    let scores = scores(round);
    let order = ranking(&scores);
    let upper = scores[*order.get(order.len().checked_sub(1)? / 2)?];
    let lower = scores[order[order.len() / 2]];
    Some(if upper == lower { upper } else { upper.midpoint(lower) })
}

fn scores(round: &[Record]) -> Vec<f64> {
    round.iter().map(|record| record.score).collect()
}

/// Hyperparameters for each of `count` members: of `count` equally likely parts of each prior every one is hit once
/// (Latin hypercube sampling), so that few members cover all of it.
pub fn stratified(priors: &[Prior], count: usize, seed: u64) -> Vec<Vec<f64>> {
    let orders: Vec<Vec<usize>> = (0..priors.len() as u64)
        .map(|prior| {
            let mut order: Vec<usize> = (0..count).collect();
            Random::stream(seed, ORDER + prior).shuffle(&mut order);
            order
        })
        .collect();
    let draw = |member: usize| {
        let mut random = Random::stream(seed, DRAW + member as u64);
        let strata = orders.iter().map(|order| order[member] as f64);
        let draws = priors.iter().zip(strata);
        draws.map(|(prior, s)| prior.quantile((s + random.uniform()) / count as f64)).collect()
    };
    (0..count).map(draw).collect()
}

/// Trains the members, which start with `hyper`. What they have learned in the end is in `members`.
///
/// `stop` is asked before each member's part of a round; when it says true, the training ends with
/// [`Error::Interrupted`].
pub fn train<T: Trainee>(
    members: &mut [T],
    hyper: &[Vec<f64>],
    priors: &[Prior],
    settings: &Settings,
    seed: u64,
    stop: impl Fn() -> bool + Sync,
) -> Result<History, Error<T::Error>> {
    check(members.len(), hyper, priors, settings).map_err(Error::Settings)?;
    let mut history = History(Vec::new());
    let mut states: Vec<State> = iter::zip(hyper, 0..)
        .map(|(hyper, member)| State {
            hyper: hyper.clone(),
            parent: None,
            event: Event::Start,
            random: Random::stream(seed, EXPLORE + member),
        })
        .collect();
    for round in 1..=settings.rounds {
        let scores = train_round(members, &states, settings.ready_every, &stop)?;
        for (member, (state, &score)) in iter::zip(&states, &scores).enumerate() {
            history.0.push(Record {
                round,
                member,
                parent: state.parent,
                event: state.event,
                hyper: state.hyper.clone(),
                step: settings.ready_every * round as u64,
                score,
            });
        }
        if round < settings.rounds {
            select(members, &mut states, &scores, priors, settings)?;
        }
    }
    Ok(history)
}

/// A member, but for what it has learned.
struct State {
    hyper: Vec<f64>,
    parent: Option<usize>,
    event: Event,
    random: Random,
}

fn check(
    members: usize,
    hyper: &[Vec<f64>],
    priors: &[Prior],
    settings: &Settings,
) -> Result<(), String> {
    let Settings { ready_every, rounds, losers, winners, perturb, redraw, exploit, explore } =
        settings;
    let require = |good: bool, why: String| if good { Ok(()) } else { Err(why) };
    require(members > 0, "a population needs at least one member".into())?;
    require(
        hyper.len() == members,
        format!("{members} members, but hyperparameters for {}", hyper.len()),
    )?;
    require(
        hyper.iter().all(|hyper| hyper.len() == priors.len()),
        format!("every member needs as many hyperparameters as there are priors, {}", priors.len()),
    )?;
    if let Some(bad) = priors.iter().find(|prior| !prior.is_valid()) {
        return Err(format!("a prior must range from one finite number up to another: {bad:?}"));
    }
    require(*ready_every > 0, "a round needs at least one step".into())?;
    require(*rounds > 0, "at least one round is needed".into())?;
    require(
        losers.checked_add(*winners).is_some_and(|both| both <= members),
        format!("{losers} losers and {winners} winners are more than {members} members"),
    )?;
    require(
        !exploit || *losers == 0 || *winners > 0,
        format!("{losers} losers have no winner to copy"),
    )?;
    require(
        (0.0..=1.0).contains(redraw),
        format!("the probability to redraw must be from 0 to 1: {redraw}"),
    )?;
    require(
        perturb.iter().all(|factor| factor.is_finite() && *factor > 0.0),
        format!("the factors to perturb by must be above 0: {perturb:?}"),
    )?;
    require(
        !explore || *redraw == 1.0 || !perturb.is_empty(),
        "exploring needs factors to perturb by".into(),
    )
}

fn train_round<T: Trainee>(
    members: &mut [T],
    states: &[State],
    steps: u64,
    stop: &(impl Fn() -> bool + Sync),
) -> Result<Vec<f64>, Error<T::Error>> {
    let pairs = members.par_iter_mut().zip(states.par_iter().map(|state| &state.hyper));
    let scores = pairs.with_max_len(1).enumerate().map(|(member, (trainee, hyper))| {
        if stop() {
            return Err(Error::Interrupted);
        }
        trainee
            .train(hyper, steps)
            .and_then(|()| trainee.score())
            .map_err(|error| Error::Trainee { member, error })
    });
    // Collected one by one, so that of several errors it is always the first member's.
    scores.collect::<Vec<_>>().into_iter().collect()
}

/// What happens between two rounds. No member is a loser and a winner, so whoever is copied is as its round left it.
fn select<T: Trainee>(
    members: &mut [T],
    states: &mut [State],
    scores: &[f64],
    priors: &[Prior],
    settings: &Settings,
) -> Result<(), Error<T::Error>> {
    for state in &mut *states {
        (state.parent, state.event) = (None, Event::Keep);
    }
    let order = ranking(scores);
    let (winners, rest) = order.split_at(settings.winners);
    for &loser in &rest[rest.len() - settings.losers..] {
        let disjoint = "a loser is no winner";
        if settings.exploit {
            let winner = winners[states[loser].random.below(winners.len())];
            let [to, from] = members.get_disjoint_mut([loser, winner]).expect(disjoint);
            to.copy_from(from).map_err(|error| Error::Trainee { member: loser, error })?;
            let [to, from] = states.get_disjoint_mut([loser, winner]).expect(disjoint);
            to.hyper.clone_from(&from.hyper);
            (to.parent, to.event) = (Some(winner), Event::Copy);
        }
        if settings.explore {
            explore(&mut states[loser], priors, settings);
        }
    }
    Ok(())
}

fn explore(state: &mut State, priors: &[Prior], settings: &Settings) {
    state.event = Event::Perturb;
    for (value, prior) in iter::zip(&mut state.hyper, priors) {
        if state.random.uniform() < settings.redraw {
            *value = prior.quantile(state.random.uniform());
            state.event = Event::Redraw;
        } else {
            *value *= settings.perturb[state.random.below(settings.perturb.len())];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The example of the paper's second figure: Q = 1.2 - a^2 - b^2 is to be maximal, but what is ascended is the
    /// surrogate 1.2 - h0 a^2 - h1 b^2, whose h are the hyperparameters.
    #[derive(Clone)]
    struct Toy {
        a: f64,
        b: f64,
    }

    impl Trainee for Toy {
        type Error = &'static str;

        fn train(&mut self, hyper: &[f64], steps: u64) -> Result<(), Self::Error> {
            for _ in 0..steps {
                self.a -= 0.02 * 2.0 * hyper[0] * self.a;
                self.b -= 0.02 * 2.0 * hyper[1] * self.b;
            }
            Ok(())
        }

        fn score(&mut self) -> Result<f64, Self::Error> {
            Ok(1.2 - self.a * self.a - self.b * self.b)
        }

        fn copy_from(&mut self, other: &Self) -> Result<(), Self::Error> {
            self.clone_from(other);
            Ok(())
        }
    }

    const TOY_PRIORS: [Prior; 2] = [Prior::Uniform(0.0, 1.0), Prior::Uniform(0.0, 1.0)];

    fn toy_settings() -> Settings {
        Settings {
            ready_every: 10,
            rounds: 40,
            losers: 1,
            winners: 1,
            perturb: vec![0.8, 1.2],
            redraw: 0.25,
            exploit: true,
            explore: true,
        }
    }

    fn train_toy(settings: &Settings, seed: u64) -> History {
        let mut members = vec![Toy { a: 0.9, b: 0.9 }; 2];
        let hyper = [vec![1.0, 0.0], vec![0.0, 1.0]];
        train(&mut members, &hyper, &TOY_PRIORS, settings, seed, || false).unwrap()
    }

    #[test]
    fn the_example_of_the_paper() {
        for seed in 1..=20 {
            let score = |exploit, explore| {
                let settings = Settings { exploit, explore, ..toy_settings() };
                train_toy(&settings, seed).winner().unwrap().score
            };
            assert!(score(true, true) > 1.19, "seed {seed}: {}", score(true, true));
            assert!(score(false, false) <= 0.39);
            assert!(score(true, false) <= 0.39); // the copies have no gradient in b either
            assert!(score(false, true) < score(true, true));
        }
    }

    /// Has a score given in advance for each round, and records whom it copied.
    #[derive(Clone, Debug, PartialEq)]
    struct Puppet {
        scores: Vec<f64>,
        trained: u64,
        origin: Vec<(usize, u64)>, // the member that learned it, and up to which step
    }

    impl Puppet {
        fn population(scores: &[&[f64]]) -> Vec<Puppet> {
            let puppet = |(member, scores): (usize, &&[f64])| Puppet {
                scores: scores.to_vec(),
                trained: 0,
                origin: vec![(member, 0)],
            };
            scores.iter().enumerate().map(puppet).collect()
        }
    }

    impl Trainee for Puppet {
        type Error = String;

        fn train(&mut self, hyper: &[f64], steps: u64) -> Result<(), Self::Error> {
            self.trained += steps;
            self.origin.last_mut().unwrap().1 = self.trained;
            if hyper[0] == 666.0 {
                Err(format!("no good at step {}", self.trained))
            } else {
                Ok(())
            }
        }

        fn score(&mut self) -> Result<f64, Self::Error> {
            Ok(if self.scores.len() > 1 { self.scores.remove(0) } else { self.scores[0] })
        }

        fn copy_from(&mut self, other: &Self) -> Result<(), Self::Error> {
            let own = self.origin.last().unwrap().0;
            self.origin.clone_from(&other.origin);
            self.origin.push((own, other.trained));
            Ok(())
        }
    }

    const RATE: [Prior; 1] = [Prior::LogUniform(-6.0, 2.0)];

    fn settings(rounds: usize, losers: usize, winners: usize) -> Settings {
        Settings { ready_every: 50, rounds, losers, winners, ..toy_settings() }
    }

    fn rates(count: usize) -> Vec<Vec<f64>> {
        (1..=count).map(|rate| vec![rate as f64]).collect()
    }

    fn train_puppets(scores: &[&[f64]], settings: &Settings) -> (History, Vec<Puppet>) {
        let mut members = Puppet::population(scores);
        let hyper = rates(members.len());
        let history = train(&mut members, &hyper, &RATE, settings, 1, || false).unwrap();
        (history, members)
    }

    fn parents(history: &History, round: usize) -> Vec<Option<usize>> {
        history.0.iter().filter(|record| record.round == round).map(|r| r.parent).collect()
    }

    #[test]
    fn the_worst_copy_the_best() {
        let scores: Vec<[f64; 1]> = [3.0, 9.0, 1.0, 7.0, 5.0].map(|score| [score]).to_vec();
        let scores: Vec<&[f64]> = scores.iter().map(|score| score.as_slice()).collect();
        let (history, members) = train_puppets(&scores, &settings(2, 2, 1));
        assert_eq!(parents(&history, 1), [None; 5]);
        assert_eq!(parents(&history, 2), [Some(1), None, Some(1), None, None]);
        assert_eq!(members[2].origin, [(1, 50), (2, 50 + 50)]);
        for record in &history.0 {
            assert_eq!(record.step, 50 * record.round as u64);
            let own = (record.member + 1) as f64;
            match (record.round, record.parent) {
                (1, _) => assert_eq!((record.event, record.hyper[0]), (Event::Start, own)),
                (_, None) => assert_eq!((record.event, record.hyper[0]), (Event::Keep, own)),
                _ => assert!(matches!(record.event, Event::Perturb | Event::Redraw)),
            }
        }
    }

    #[test]
    fn a_member_is_copied_as_its_round_left_it() {
        // In the third round who copied in the second is copied, and the other way round.
        let scores: [&[f64]; 4] =
            [&[4.0, 1.0, 4.0], &[3.0, 2.0, 3.0], &[2.0, 3.0, 2.0], &[1.0, 4.0, 1.0]];
        let (history, members) = train_puppets(&scores, &settings(4, 2, 2));
        for round in 2..=4 {
            let copied: Vec<_> = parents(&history, round).into_iter().flatten().collect();
            assert_eq!(copied.len(), 2);
            let losers = if round == 3 { [0, 1] } else { [2, 3] };
            assert!(copied.iter().all(|winner| !losers.contains(winner)));
        }
        for (member, puppet) in members.iter().enumerate() {
            // What it has learned goes back without a gap: each part begins where the one before it ended.
            assert_eq!(puppet.origin.last().unwrap().0, member);
            let path = history.ancestry(member);
            let told: Vec<usize> = (1..=4)
                .map(|round| {
                    puppet.origin.iter().find(|(_, until)| *until >= 50 * round).unwrap().0
                })
                .collect();
            assert_eq!(path, told);
        }
    }

    #[test]
    fn scores_that_are_no_number_lose() {
        let (history, _) =
            train_puppets(&[&[f64::NAN], &[1.0], &[f64::NEG_INFINITY]], &settings(2, 1, 1));
        assert_eq!(parents(&history, 2), [Some(1), None, None]);
        assert_eq!(history.winner().unwrap().member, 1);
        let (history, _) = train_puppets(&[&[f64::NAN], &[f64::NAN]], &settings(2, 1, 1));
        assert_eq!(parents(&history, 2), [None, Some(0)]);
    }

    #[test]
    fn of_equal_scores_the_first_member_is_the_better() {
        let (history, _) = train_puppets(&[&[1.0], &[1.0], &[1.0]], &settings(3, 1, 1));
        assert_eq!(parents(&history, 2), [None, None, Some(0)]);
        assert_eq!(history.winner().unwrap().member, 0);
    }

    #[test]
    fn one_member_trains_alone_and_without_losers_nobody_copies() {
        let (history, members) = train_puppets(&[&[1.0]], &settings(3, 0, 0));
        assert_eq!(members[0].trained, 150);
        assert_eq!(history.0.len(), 3);
        for (losers, winners) in [(0, 0), (0, 2)] {
            let (history, _) = train_puppets(&[&[1.0], &[2.0]], &settings(3, losers, winners));
            assert!(history.0.iter().all(|record| record.parent.is_none()));
            assert!(history.0.iter().all(|record| record.hyper[0] == (record.member + 1) as f64));
        }
    }

    #[test]
    fn the_ablations() {
        let last = |exploit, explore| {
            let settings = Settings { exploit, explore, ..settings(2, 1, 1) };
            let (history, _) = train_puppets(&[&[1.0], &[2.0]], &settings);
            history.0[2].clone()
        };
        let exploit = last(true, false);
        assert_eq!((exploit.parent, exploit.event), (Some(1), Event::Copy));
        assert_eq!(exploit.hyper, [2.0]);
        let explore = last(false, true);
        assert_eq!(explore.parent, None);
        assert!(matches!(explore.event, Event::Perturb | Event::Redraw));
        assert_ne!(explore.hyper, [1.0]);
        let neither = last(false, false);
        assert_eq!((neither.parent, neither.event), (None, Event::Keep));
        assert_eq!(neither.hyper, [1.0]);
    }

    #[test]
    fn exploring_redraws_or_multiplies() {
        for (redraw, event) in [(0.0, Event::Perturb), (1.0, Event::Redraw)] {
            let settings = Settings { redraw, ..settings(30, 1, 1) };
            let (history, _) = train_puppets(&[&[2.0], &[1.0]], &settings);
            let explored: Vec<&Record> =
                history.0.iter().filter(|record| record.parent.is_some()).collect();
            assert_eq!(explored.len(), 29);
            assert!(explored.iter().all(|record| record.event == event));
            let multiplied = |factor| explored.iter().filter(|r| r.hyper[0] == factor).count();
            if redraw == 0.0 {
                assert_eq!(multiplied(0.8) + multiplied(1.2), 29); // of the winner's rate, 1
                assert!(multiplied(0.8) > 5 && multiplied(1.2) > 5);
            } else {
                assert!(explored.iter().all(|r| (1e-6..1e2).contains(&r.hyper[0])));
                assert!(explored.iter().any(|r| r.hyper[0] < 1e-3));
                assert!(explored.iter().any(|r| r.hyper[0] > 1e-1));
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut members = vec![Toy { a: 0.9, b: 0.9 }; 16];
                let hyper = stratified(&TOY_PRIORS, 16, 7);
                let settings = Settings { losers: 4, winners: 4, ..toy_settings() };
                train(&mut members, &hyper, &TOY_PRIORS, &settings, 7, || false).unwrap()
            })
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(3));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(train_toy(&toy_settings(), 1), train_toy(&toy_settings(), 1));
        assert_ne!(train_toy(&toy_settings(), 1), train_toy(&toy_settings(), 2));
    }

    #[test]
    fn a_stratified_sample_hits_each_part_once() {
        for count in [1, 2, 16, 37] {
            for seed in 1..=5 {
                let priors = [Prior::LogUniform(-6.0, 2.0), Prior::Uniform(-3.0, 5.0)];
                let sample = stratified(&priors, count, seed);
                let hit = |share: fn(&[f64]) -> f64| {
                    let mut parts: Vec<usize> =
                        sample.iter().map(|h| (share(h) * count as f64) as usize).collect();
                    let order = parts.clone();
                    parts.sort_unstable();
                    assert_eq!(parts, (0..count).collect::<Vec<_>>());
                    order
                };
                let rates = hit(|hyper| (hyper[0].log10() + 6.0) / 8.0);
                let others = hit(|hyper| (hyper[1] + 3.0) / 8.0);
                assert!(count < 16 || rates != others);
            }
        }
        assert_ne!(stratified(&RATE, 16, 1), stratified(&RATE, 16, 2));
    }

    #[test]
    fn the_figures_are_the_same_everywhere() {
        // If they change on purpose, every seed finds something else than before.
        let sample = stratified(&RATE, 3, 1);
        let bits: Vec<u64> = sample.iter().map(|hyper| hyper[0].to_bits()).collect();
        assert_eq!(
            bits,
            [0x3f7b_1a4c_b750_50b0, 0x402e_75be_945e_4cc0, 0x3f07_ada8_b3b8_1c41],
            "{bits:#018x?}"
        );
        let winner = train_toy(&toy_settings(), 1).winner().unwrap().score.to_bits();
        assert_eq!(winner, 0x3ff3_3333_10ae_ab2c, "{winner:#018x}");
    }

    #[test]
    fn best_and_median() {
        let (history, _) = train_puppets(
            &[&[3.0, f64::NAN], &[1.0, f64::NAN], &[f64::NAN, 2.0], &[2.0, 5.0]],
            &settings(2, 0, 0),
        );
        let rounds: Vec<&[Record]> = history.rounds().collect();
        assert_eq!(rounds.len(), 2);
        assert_eq!((best(rounds[0]).unwrap().member, median(rounds[0])), (0, Some(1.5)));
        assert_eq!(best(rounds[1]).unwrap().member, 3);
        assert!(median(rounds[1]).unwrap().is_nan());
        assert_eq!(median(&rounds[0][..3]), Some(1.0));
        assert_eq!((best(&[]), median(&[])), (None, None));
        assert_eq!(History(Vec::new()).winner(), None);
    }

    #[test]
    fn senseless_settings_are_refused() {
        let two = [Prior::Uniform(0.0, 1.0); 2];
        let nan = [Prior::LogUniform(f64::NAN, 1.0)];
        let empty = [Prior::Uniform(1.0, 1.0)];
        let good = settings(2, 1, 1);
        let cases: [(usize, usize, &[Prior], Settings, &str); 13] = [
            (0, 0, &RATE, good.clone(), "at least one member"),
            (3, 2, &RATE, good.clone(), "3 members, but hyperparameters for 2"),
            (2, 2, &two, good.clone(), "as many hyperparameters as there are priors, 2"),
            (2, 2, &nan, good.clone(), "LogUniform(NaN, 1.0)"),
            (2, 2, &empty, good.clone(), "Uniform(1.0, 1.0)"),
            (2, 2, &RATE, Settings { ready_every: 0, ..good.clone() }, "at least one step"),
            (2, 2, &RATE, Settings { rounds: 0, ..good.clone() }, "at least one round"),
            (2, 2, &RATE, Settings { losers: 2, ..good.clone() }, "more than 2 members"),
            (2, 2, &RATE, Settings { losers: usize::MAX, ..good.clone() }, "more than 2 members"),
            (2, 2, &RATE, Settings { winners: 0, ..good.clone() }, "no winner to copy"),
            (2, 2, &RATE, Settings { redraw: f64::NAN, ..good.clone() }, "from 0 to 1: NaN"),
            (2, 2, &RATE, Settings { perturb: vec![0.8, 0.0], ..good.clone() }, "above 0"),
            (2, 2, &RATE, Settings { perturb: vec![], ..good.clone() }, "needs factors"),
        ];
        for (members, hypers, priors, settings, expected) in cases {
            let all: [&[f64]; 3] = [&[1.0], &[2.0], &[3.0]];
            let mut members = Puppet::population(&all[..members]);
            let error = train(&mut members, &rates(hypers), priors, &settings, 1, || false);
            let text = error.unwrap_err().to_string();
            assert!(text.contains(expected) && text.lines().count() == 1, "{text}");
            assert!(members.iter().all(|puppet| puppet.trained == 0));
        }
    }

    #[test]
    fn errors_name_the_first_member_that_failed() {
        let mut members = Puppet::population(&[&[1.0], &[2.0], &[3.0]]);
        let hyper = [vec![1.0], vec![666.0], vec![666.0]];
        let error = train(&mut members, &hyper, &RATE, &settings(2, 1, 1), 1, || false);
        assert_eq!(error.unwrap_err().to_string(), "member 1: no good at step 50");
    }

    #[test]
    fn it_can_be_interrupted() {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
        let mut members = Puppet::population(&[&[1.0], &[2.0]]);
        let result = train(&mut members, &rates(2), &RATE, &settings(9, 1, 1), 1, stop);
        assert_eq!(result, Err(Error::Interrupted));
        assert_eq!(members.iter().map(|puppet| puppet.trained).sum::<u64>(), 150);
    }
}
