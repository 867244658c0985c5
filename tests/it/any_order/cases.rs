//! Stories that once came to something else in another order.

use super::story::{Deed, Mistake, Story, What};

fn deed(who: usize, what: What, day: i32, late: u8) -> Deed {
    Deed { who, by: (0, 0), what, day, hour: 0, late, again: None, place: 1 }
}

fn order(who: usize, price: u8, day: i32, late: u8) -> Deed {
    deed(who, What::Orders { order: 1, price, coupon: false }, day, late)
}

/// Three who are one for some days: by the first of two events that show it, whose undoing comes while the second is in
/// force. Who survives is by names, so everybody is everything.
fn two_mistakes_at_once() -> impl Iterator<Item = Story> {
    let orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)];
    orders.into_iter().map(|(a, b, c)| {
        let mistake = |between, day, undone| Mistake { between, by: (0, 0), day, late: 0, place: 1, undone };
        let mistakes = vec![mistake((a, b), 7, (6, 2)), mistake((a, c), 9, (5, 4))];
        let deeds = (0..3).map(|who| deed(who, What::Views(1), 10 + who as i32, 4)).collect();
        Story::new(vec![true, false, false], deeds, mistakes)
    })
}

/// A device that was first named by an alias while two were one stayed with whoever survived.
fn a_former_id_told_while_two_are_one() -> Story {
    let joins = |who, by| Deed { by, ..deed(who, What::Joins(1), 5, 2) };
    let mistake = |between| Mistake { between, by: (0, 0), day: 3, late: 12, place: 1, undone: (6, 0) };
    let mistakes = vec![mistake((1, 0)), mistake((2, 3))];
    Story::new(vec![true, false, true, false], vec![joins(0, (0, 0)), joins(2, (0, 0))], mistakes)
}

/// An address first told while two were one stayed with the survivor when that had become a third one since.
fn an_address_told_while_three_are_one() -> impl Iterator<Item = Story> {
    let orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)];
    orders.into_iter().map(|(a, b, c)| {
        let mistake = |between, day, undone| Mistake { between, by: (1, 1), day, late: 0, place: 1, undone };
        let mistakes = vec![mistake((a, b), 4, (4, 5)), mistake((b, c), 7, (4, 1))];
        let phone =
            |who: usize| Deed { by: (0, if who == 0 { 3 } else { 2 }), ..deed(who, What::Views(0), 5, 1) };
        Story::new(vec![true, false, false], vec![phone(a), phone(b)], mistakes)
    })
}

/// An address first told to whom somebody went with, when the one they had been merged into was parted from both, stayed there.
fn an_address_told_to_whom_somebody_went_with() -> impl Iterator<Item = Story> {
    let orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)];
    orders.into_iter().map(|(a, b, c)| {
        let email = |who: usize| usize::from(who == 0);
        let mistake = |between, by, day, undone| Mistake { between, by, day, late: 0, place: 1, undone };
        let mistakes = vec![
            mistake((a, b), (email(a), email(b)), 2, (6, 5)),
            mistake((b, c), (email(b) + 1, email(c)), 7, (5, 5)),
        ];
        let phone = Deed { by: (email(c) + 2, email(c) + 1), ..deed(c, What::Views(0), 0, 12) };
        Story::new(vec![true, false, false], vec![phone], mistakes)
    })
}

/// What somebody is measured by depended on who had bought when the first fit came.
fn orders_that_come_after_the_first_fit() -> Story {
    let deeds = vec![order(0, 0, 0, 14), order(1, 1, 1, 0), order(2, 2, 2, 14), order(3, 1, 13, 0)];
    Story::new(vec![true; 4], deeds, Vec::new())
}

/// A page that comes after a later one said that it was agreed when that one was looked at; two that agree and leave at one
/// instant, in both orders.
fn banners_and_ties() -> Story {
    let looks = |banner, day, late| deed(0, What::Looks { zone: 0, banner: Some(banner) }, day, late);
    let tells =
        |plan, late| deed(1, What::Tells { plan, drops: false, lives: 1, agrees: Some(plan > 1) }, 4, late);
    let deeds = vec![
        looks(true, 1, 9),
        deed(0, What::Leaves, 2, 0),
        looks(true, 3, 0),
        looks(false, 5, 8),
        looks(true, 6, 1),
        tells(1, 7),
        tells(2, 3),
        tells(3, 5),
    ];
    Story::new(vec![true; 2], deeds, Vec::new())
}

/// Somebody is one with a visitor who left when they had agreed twice: what messages go by forgot the second time.
fn agreements_that_meet() -> Story {
    let agrees = |who, granted, day, late| {
        let what = What::Agrees { channel: false, granted, confirmed: false };
        Deed { by: (3, 3), ..deed(who, what, day, late) }
    };
    let deeds = vec![
        agrees(0, true, 1, 0),
        agrees(0, true, 6, 0),
        Deed { by: (4, 4), ..deed(0, What::Leaves, 4, 0) },
        Deed { by: (0, 4), ..deed(0, What::Views(1), 8, 3) },
        Deed { by: (0, 3), ..deed(0, What::Views(2), 9, 0) },
    ];
    Story::new(vec![true; 2], deeds, Vec::new())
}

/// Two tellings of an order do not agree on what its coupon was worth.
fn a_coupon_told_twice() -> Story {
    let telling = |price, coupon, day, late| deed(0, What::Orders { order: 0, price, coupon }, day, late);
    Story::new(
        vec![true; 2],
        vec![telling(1, true, 2, 9), telling(2, false, 3, 0), telling(0, true, 3, 6)],
        vec![],
    )
}

/// Of an order that broke a coupon's rule nothing was told, when its end was known first.
fn an_end_that_comes_before_its_order() -> Story {
    let order = deed(0, What::Orders { order: 0, price: 0, coupon: true }, -30, 7);
    Story::new(vec![true; 2], vec![order, deed(0, What::Cancels(0), -29, 0)], vec![])
}

pub fn all() -> Vec<Story> {
    let mut all: Vec<Story> = two_mistakes_at_once()
        .chain(an_address_told_while_three_are_one())
        .chain(an_address_told_to_whom_somebody_went_with())
        .collect();
    all.extend([
        a_former_id_told_while_two_are_one(),
        orders_that_come_after_the_first_fit(),
        banners_and_ties(),
        agreements_that_meet(),
        a_coupon_told_twice(),
        an_end_that_comes_before_its_order(),
    ]);
    all
}
