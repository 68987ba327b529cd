//! Putting lists in order, with one sort for all of them.
//!
//! The standard library's sorts are faster, but each type of item takes 5 KB of program. What is
//! sorted here is sorted at the start, for a request or for a command, and not often.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

/// Sorts a list; equals keep their order.
pub(crate) fn sort<T>(list: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let places = places(list.len(), &|one, other| compare(&list[one], &list[other]));
    arrange(places, &mut |one, other| list.swap(one, other));
}

/// Brings each item to its place, by swapping those at two places.
fn arrange(mut places: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for at in 0..places.len() {
        while places[at] != at {
            let place = places[at];
            swap(at, place);
            places.swap(at, place);
        }
    }
}

/// Where each item has to go, by comparing items at two places.
fn places(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut width = 1;
    while width < len {
        let mut merged = Vec::with_capacity(len);
        for both in order.chunks(2 * width) {
            merge(both.split_at(width.min(both.len())), compare, &mut merged);
        }
        order = merged;
        width *= 2;
    }
    let mut places = vec![0; len];
    for (place, item) in order.into_iter().enumerate() {
        places[item] = place;
    }
    places
}

fn merge(
    (mut left, mut right): (&[usize], &[usize]),
    compare: &dyn Fn(usize, usize) -> Ordering,
    merged: &mut Vec<usize>,
) {
    while let ([one, lefts @ ..], [other, rights @ ..]) = (left, right) {
        if compare(*one, *other).is_le() {
            merged.push(*one);
            left = lefts;
        } else {
            merged.push(*other);
            right = rights;
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
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
