//! Several devices that compute the parts of a step at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use burn::module::Module;
use burn::tensor::backend::{Backend, Device, DeviceId, DeviceOps};
use hart_core::Result;

use super::experiment::refuse;

/// The backends whose one device is the processor, by their own names.
const PROCESSORS: [&str; 3] = ["flex", "ndarray", "libtorch<cpu>"];

/// The devices of a run. The first one is worked on by whoever asks, and holds what is trained;
/// each of the others has a thread of its own for the whole run, because backends on GPUs keep
/// memory for every thread that they have seen.
#[derive(Debug)]
pub(super) struct Devices<D> {
    all: Vec<D>,
    others: Vec<Worker>,
}

impl<D: DeviceOps> Devices<D> {
    /// `count` devices of a backend, from `first` on. Where that is the processor, it is taken
    /// that many times.
    ///
    /// # Errors
    /// [`hart_core::Error::Config`] when there are fewer.
    pub(super) fn open<B: Backend<Device = D>>(first: &D, count: usize) -> Result<Self> {
        let all = if count == 1 || PROCESSORS.contains(&B::name(first).as_str()) {
            vec![first.clone(); count]
        } else {
            neighbours(first, count, B::device_count)?
        };
        let others = all.iter().skip(1).map(|_| Worker::start()).collect();
        Ok(Self { all, others })
    }

    /// The device that holds what is trained.
    pub(super) fn first(&self) -> &D {
        &self.all[0]
    }

    /// All of them.
    pub(super) fn all(&self) -> &[D] {
        &self.all
    }

    /// A module on every device, each with gradients of its own.
    pub(super) fn copies<B: Backend<Device = D>, M: Module<B>>(&self, module: &M) -> Vec<M> {
        let others = self.all[1..].iter().map(|device| module.clone().fork(device));
        std::iter::once(module.clone()).chain(others).collect()
    }

    /// The parts of a step that are computed at once, round after round.
    pub(super) fn rounds(&self, parts: usize) -> impl Iterator<Item = Range<usize>> + use<D> {
        let devices = self.all.len();
        (0..parts).step_by(devices).map(move |first| first..parts.min(first + devices))
    }

    /// Does `work` with every item, all at once: the first for the first device, and so on, no
    /// more than there are devices. The results come in the order of the items.
    pub(super) fn at_once<T, R>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Send + Sync + 'static,
    ) -> Vec<R>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        assert!(items.len() <= self.all.len(), "every item has a device");
        let work = Arc::new(work);
        let mut items = items.into_iter();
        let first = items.next();
        let others = items.zip(&self.others).map(|(item, worker)| {
            let work = work.clone();
            worker.start_on(move || work(item))
        });
        let others: Vec<Receiver<R>> = others.collect();
        let first = first.map(|item| work(item));
        let others = others.into_iter().map(|other| other.recv().expect("no device panics"));
        first.into_iter().chain(others).collect()
    }
}

/// `count` devices of the kind of `first`, from that one on; `existing` says how many there are of
/// a kind.
fn neighbours<D: Device + PartialEq>(
    first: &D,
    count: usize,
    existing: impl Fn(u16) -> usize,
) -> Result<Vec<D>> {
    let at = |id: DeviceId, index: usize| {
        D::from_id(DeviceId { index_id: id.index_id + index as u16, ..id })
    };
    let id = first.to_id();
    // The default device of wgpu is one of the others under another name, and has no neighbours:
    // the first discrete GPUs are taken, which are of kind 0.
    let id = if at(id, 1) == *first { DeviceId { type_id: 0, index_id: 0 } } else { id };
    let found = existing(id.type_id).saturating_sub(usize::from(id.index_id));
    if count > found {
        let expected = format!("at most {found}: there are no more, from the chosen one on");
        return Err(refuse("run", "devices", count, expected));
    }
    Ok((0..count).map(|index| at(id, index)).collect())
}

/// A thread that does one thing after another.
#[derive(Debug)]
struct Worker {
    /// Hanging up ends the thread.
    jobs: Option<Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start() -> Self {
        let (jobs, received) = channel::<Box<dyn FnOnce() + Send>>();
        let thread = std::thread::spawn(move || received.into_iter().for_each(|job| job()));
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Begins some work, whose result will be received.
    fn start_on<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Receiver<R> {
        let (sender, receiver) = channel();
        if let Some(jobs) = &self.jobs {
            // When the thread has panicked the receiver hears of it.
            let _ = jobs.send(Box::new(move || {
                let _ = sender.send(work());
            }));
        }
        receiver
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::backend::{Device, DeviceId};

    use super::neighbours;

    /// The name of a device.
    #[derive(Debug, Clone, Default, PartialEq)]
    enum Gpu {
        #[default]
        Best,
        At(u16),
    }

    impl Device for Gpu {
        fn from_id(id: DeviceId) -> Self {
            if id.type_id == 0 { Self::At(id.index_id) } else { Self::Best }
        }

        fn to_id(&self) -> DeviceId {
            match self {
                Self::Best => DeviceId { type_id: 4, index_id: 0 },
                Self::At(index) => DeviceId { type_id: 0, index_id: *index },
            }
        }
    }

    #[test]
    fn devices_are_taken_from_the_chosen_one_on() {
        let open = |first: Gpu, count: usize| neighbours(&first, count, |_| 4);
        assert_eq!(open(Gpu::At(1), 3).unwrap(), [Gpu::At(1), Gpu::At(2), Gpu::At(3)]);
        assert_eq!(open(Gpu::Best, 2).unwrap(), [Gpu::At(0), Gpu::At(1)]);
        let said = open(Gpu::At(2), 3).unwrap_err().to_string();
        assert!(said.contains("`devices` is 3, expected at most 2"), "{said}");
    }

    #[test]
    #[cfg(feature = "flex")]
    fn results_come_in_the_order_of_the_items() {
        let processor = Default::default();
        let devices = super::Devices::open::<burn::backend::Flex>(&processor, 3).unwrap();
        let rounds: Vec<_> = devices.rounds(7).collect();
        assert_eq!(rounds, [0..3, 3..6, 6..7]);
        for round in rounds {
            let parts: Vec<usize> = round.collect();
            let wait = |part: usize| {
                std::thread::sleep(std::time::Duration::from_millis(30 - 4 * part as u64));
                part
            };
            assert_eq!(devices.at_once(parts.clone(), wait), parts);
        }
    }
}
