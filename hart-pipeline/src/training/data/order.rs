//! The order in which records are visited.

use hart_core::random::generator;
use rand::Rng;

/// The stream of a seed that the order of an epoch comes from.
const ORDER: u64 = 121;

/// Which items each step of a run trains on: epoch after epoch in an order that follows from the
/// seed, without a gap between epochs.
#[derive(Debug, Clone)]
pub struct Order {
    count: usize,
    seed: u64,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// Over `count` items, at least one.
    pub fn new(count: usize, seed: u64) -> Self {
        Self { count, seed, epoch: None }
    }

    /// The items of step `step`.
    pub fn batch(&mut self, step: u64, batch: usize) -> Vec<usize> {
        let first = step * batch as u64;
        (first..first + batch as u64).map(|position| self.item(position)).collect()
    }

    fn item(&mut self, position: u64) -> usize {
        let count = self.count as u64;
        let epoch = position / count;
        if self.epoch.as_ref().is_none_or(|(present, _)| *present != epoch) {
            self.epoch = Some((epoch, epoch_order(self.count, self.seed, epoch)));
        }
        let (_, order) = self.epoch.as_ref().expect("it was just made");
        order[(position % count) as usize]
    }
}

/// The order in which `count` items are visited in an epoch.
fn epoch_order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut draws = generator(seed, ORDER, [epoch, 0]);
    let mut keyed: Vec<(u64, usize)> = (0..count).map(|item| (draws.next_u64(), item)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn every_epoch_visits_every_item_once() {
        let mut order = Order::new(10, 3);
        let visited: Vec<usize> = (0..5).flat_map(|step| order.batch(step, 4)).collect();
        for epoch in visited.chunks_exact(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(visited[..10], visited[10..]);
        assert_eq!(Order::new(10, 3).batch(3, 4), visited[12..16]);
    }
}
