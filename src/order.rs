//! Putting lists in order: lists that people write or read, of hundreds and not of millions.
//!
//! The standard library's sorts are fast on millions, which takes 5 KB of program for each type of
//! item. What has to be quick however many there are, such as connections, is not for this room.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

/// Sorts a list; equals keep their order. A list that is nearly sorted costs next to nothing, any
/// other the square of its length in moved items: 10,000 names take some 10 ms.
pub(crate) fn sort<T>(list: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    for at in 1..list.len() {
        let (sorted, rest) = list.split_at(at);
        let place = sorted.partition_point(|one| compare(one, &rest[0]).is_le());
        if place < at {
            let item = list.remove(at);
            list.insert(place, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_sorted_as_the_standard_library_does() {
        let mut seed = 7_u32;
        for len in 0..60 {
            let mut list: Vec<(u32, u32)> = Vec::new();
            for at in 0..len {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                list.push((seed >> 28, at));
            }
            let mut expected = list.clone();
            expected.sort_by_key(|item| item.0);
            sort(&mut list, |one, other| one.0.cmp(&other.0));
            assert_eq!(list, expected);
        }
    }
}
