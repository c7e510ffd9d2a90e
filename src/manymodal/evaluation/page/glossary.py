"""What the words of a report mean, for those who read nothing else of the project."""

GLOSSARY = {
    "Item, modality, value": (
        "An item is one thing; a modality is a way of observing it (a photo, a caption); a value is one observation. "
        "An item may lack values in a modality, or have several."
    ),
    "Label": "The kind that an item belongs to. Some modalities have one value per label instead of per item.",
    "Direction": "What is asked with → what is searched. Several modalities on a side are composed into one vector.",
    "Gallery": "All that is searched: every value of the target in the split, also those that nobody asks for.",
    "Unit": (
        "What one query is. By value: one value. By item: all values of an item in the query's modalities, composed. "
        "By label: all values of a label. Compare figures of one unit only."
    ),
    "Match": "What should be found: values of the same item or, by label, of the same kind.",
    "Skipped": (
        "Items that lack a part of the query, and queries whose match is not in the gallery. They are counted, and are "
        "in no figure."
    ),
    "hit@k": "Share of queries with some match among the first k; what papers call recall@k.",
    "mrr, map, median rank": (
        "mrr: mean of 1 / rank of the first match. map: mean precision at all matches. Median rank: of the first match."
    ),
    "Everything else": "All modalities but the one on the other side of the arrow, composed.",
    "Leak (*)": (
        "A modality on one side was made from one on the other, such as speech read from the very caption that is "
        "searched. Such a figure does not say how well things are understood."
    ),
    "Gain": "hit@1 with one more modality in the query minus hit@1 without it, over the same items.",
    "Calibrated": (
        "With weights that say how much each modality should count for each target, estimated on dev. Otherwise all "
        "parts of a query count alike."
    ),
    "Corrected": (
        "With hubs, which come up for query after query, scored lower, or without what all vectors of a modality "
        "share; estimated from train."
    ),
    "Interval": "95 % of figures lie there when the items are drawn again, with all their queries.",
}
