//! Leases by integer, for adapter authors: no Python object a request.
//!
//! A slab of leases. A token is the slot's place and its generation, which grows whenever the slot is
//! emptied, so a token that was ended never means somebody else's request.

use trimtab_core::Lease;

/// Tokens are positive in every signed 64-bit integer.
const GENERATIONS: u32 = i32::MAX as u32;

/// The open leases of one balancer.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    lease: Option<Lease>,
}

impl Slab {
    /// Keeps `lease` and names it.
    #[inline]
    pub(crate) fn insert(&mut self, lease: Lease) -> u64 {
        let Some(place) = self.free.pop() else {
            return self.grow(lease);
        };
        let slot = &mut self.slots[place as usize];
        slot.lease = Some(lease);
        token(place, slot.generation)
    }

    /// The lease called `token`, if it is open.
    #[inline]
    pub(crate) fn get(&mut self, token: u64) -> Option<&mut Lease> {
        self.slot(token)?.lease.as_mut()
    }

    /// Takes the lease called `token` out, if it is open.
    #[inline]
    pub(crate) fn remove(&mut self, token: u64) -> Option<Lease> {
        let slot = self.slot(token)?;
        let lease = slot.lease.take()?;
        slot.generation = (slot.generation + 1) % GENERATIONS;
        self.free.push(token as u32);
        Some(lease)
    }

    #[inline]
    fn slot(&mut self, token: u64) -> Option<&mut Slot> {
        self.slots
            .get_mut(token as u32 as usize)
            .filter(|slot| u64::from(slot.generation) == token >> 32)
    }

    #[cold]
    fn grow(&mut self, lease: Lease) -> u64 {
        let place = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, lease: Some(lease) });
        token(place, 0)
    }
}

#[inline]
fn token(place: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(place)
}
