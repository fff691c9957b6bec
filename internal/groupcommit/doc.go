// Package groupcommit commits writes of many callers in sets, so that a busy system pays for one commit instead of
// many.
//
// Callers give items to a [Group] one by one and wait for the result of each. While a set is being committed, new items
// wait and form the next set, which starts when the one before is done. There is no timer: an item that finds the group
// idle is a set of its own and does not wait. The busier the group, the larger its sets.
//
// The package does not know what is committed. It guarantees:
//
//  1. Every item gets exactly one result: that of the commit function, or the reason why there is none.
//  2. A set that fails is retried in halves, so an item that cannot be committed fails alone and costs its neighbours a
//     few more tries. A panic of the commit function is a failure.
//  3. Everything is bounded: the size of a set, the number of waiting items, the number of concurrent commits. An item
//     that finds the group full is refused at once with [ErrFull]; nothing was done for it.
//  4. Items are taken in the order in which they came. Where several sets are committed at once, their commits may
//     overtake each other. A caller that needs an order gives the second item after it has the result of the first.
//  5. A caller whose context ends stops waiting. This does not affect other items.
//
// NOTE: a caller whose context ended does not know the result of its item. The item is skipped if its set was not taken
// yet. Otherwise it may have been committed, or may be committed later. It must be safe to give the item again.
//
// All items of a set end together: the slowest item makes all wait, and a commit without an answer leaves all results
// unknown. [Group.Close] ends a group: it takes no more items and waits for those that it has.
package groupcommit
