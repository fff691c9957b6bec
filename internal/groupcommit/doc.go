// Package groupcommit gathers single writes into sets, so that a busy system pays for one commit where it would
// have paid for many.
//
// Callers give items one by one to a [Group] and wait for the result of each. While a set is being committed the
// next one gathers, and goes as soon as the one before is done. There is no timer: an item that comes to an idle
// group is a set of its own and does not wait, and the busier the group, the larger its sets.
//
// The package knows nothing of what is committed. It promises:
//
//  1. Every item gets exactly one result: what the commit function says of it, or why there is nothing to say.
//  2. A set that fails is tried again in halves, so that an item that can't be committed fails alone, and costs
//     its neighbours a few more tries. A commit function that panics has failed.
//  3. Nothing is without a bound: a set, the items that wait for theirs, the sets that are committed at once. An
//     item that finds the group full is refused at once with [ErrFull] and was not touched.
//  4. Items go in the order in which they came. Where several sets are committed at once their commits may
//     overtake each other; who needs an order gives the second item when the first has its result.
//  5. A caller whose context ends stops waiting, and its neighbours notice nothing.
//
// NOTE: whose context ended does not know what became of the item. It is left out if its set has not been taken
// yet, but it may as well have been committed, or be committed later. A caller must be able to give its item
// again.
//
// The items of a set share their fate: the longest makes all wait, and a commit whose answer is lost is lost for
// all. [Group.Close] ends a group: it takes no more items and waits for those that it has.
package groupcommit
