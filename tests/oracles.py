"""Slow, obvious float64 twins of every objective, metric and composition: plain loops, no blocks, no tricks."""

import math

import numpy as np

# -- matching and objectives: plain loops in float64, straight from the definitions ------------------------------------


def oracle_matches(embeddings, a, b, match="item"):
    """Set of (i, j) that match, by the two rules as DESIGN states them."""
    label_side = any(len(embeddings.items[m]) and all(int(x) == -1 for x in embeddings.items[m]) for m in (a, b))
    by_label = match == "label" or label_side
    found = set()
    for i in range(len(embeddings.items[a])):
        for j in range(len(embeddings.items[b])):
            item_a, item_b = int(embeddings.items[a][i]), int(embeddings.items[b][j])
            same = item_a == item_b and item_a >= 0
            if by_label:
                label_a, label_b = int(embeddings.labels[a][i]), int(embeddings.labels[b][j])
                same = same or (label_a == label_b and label_a >= 0)
            if same:
                found.add((i, j))
    return found


def oracle_pcmc_pair(x, y, matches, scale):
    """Mean over anchors of the mean over matches of -log softmax, other matches left out; both ways, halved."""
    s = [[scale * float(np.dot(u, v)) for v in y] for u in x]
    n, m = len(x), len(y)
    halves = []
    for rows, columns, at, hit in (
        (n, m, lambda r, c: s[r][c], lambda r, c: (r, c) in matches),
        (m, n, lambda r, c: s[c][r], lambda r, c: (c, r) in matches),
    ):
        anchors = []
        for r in range(rows):
            own = [c for c in range(columns) if hit(r, c)]
            others = [math.exp(at(r, c)) for c in range(columns) if not hit(r, c)]
            if own:
                terms = [-math.log(math.exp(at(r, c)) / (math.exp(at(r, c)) + sum(others))) for c in own]
                anchors.append(sum(terms) / len(terms))
        halves.append(sum(anchors) / len(anchors))
    return sum(halves) / 2


def oracle_pcmr_pair(x, y, matches, lam, beta):
    """Mean over matches of (1 - s)^2 + lam * mean over the rest of (s - beta)^2."""
    positive, negative = [], []
    for i, u in enumerate(x):
        for j, v in enumerate(y):
            s = float(np.dot(u, v))
            if (i, j) in matches:
                positive.append((1 - s) ** 2)
            else:
                negative.append((s - beta) ** 2)
    return sum(positive) / len(positive) + lam * (sum(negative) / len(negative) if negative else 0.0)


def oracle_objective(embeddings, pair_loss, match="item", weights=None):
    """(total, {pair: loss}): the weighted mean over the pairs that have a match."""
    names = sorted(embeddings.vectors)
    pairs = {}
    for p, a in enumerate(names):
        for b in names[p + 1 :]:
            matches = oracle_matches(embeddings, a, b, match)
            if matches:
                x, y = (embeddings.vectors[m].detach().double().numpy() for m in (a, b))
                pairs[a, b] = pair_loss(x, y, matches)
    weights = weights or {}
    mass = sum(weights.get(p, 1.0) for p in pairs)
    return (sum(weights.get(p, 1.0) * v for p, v in pairs.items()) / mass if pairs else 0.0), pairs


# -- ranks, metrics, composition and a whole direction: plain loops in float64, straight from the definitions ----------


def oracle_ranks(scores, matches):
    """Ascending ranks of one query's matches: rivals at least as good (less 1e-6) and matches ahead, ties by row."""
    found = []
    for own in matches:
        rivals = sum(1 for j in range(len(scores)) if j not in matches and scores[j] >= scores[own] - 1e-6)
        ahead = sum(1 for j in matches if scores[j] > scores[own] or (scores[j] == scores[own] and j < own))
        found.append(1 + rivals + ahead)
    return sorted(found)


def oracle_metrics(ranks, k):
    """Means over queries, from each query's ascending ranks."""
    n = len(ranks)
    if n == 0:
        names = [f"hit@{at}" for at in k] + [f"recall@{at}" for at in k]
        return dict.fromkeys([*names, "mrr", "median_rank", "map", "r_precision"])
    first = sorted(r[0] for r in ranks)
    precision = [sum((i + 1) / r[i] for i in range(len(r))) / len(r) for r in ranks]
    return {
        **{f"hit@{at}": sum(1 for r in ranks if r[0] <= at) / n for at in k},
        "mrr": sum(1 / r[0] for r in ranks) / n,
        "median_rank": (first[(n - 1) // 2] + first[n // 2]) / 2,
        "map": sum(precision) / n,
        **{f"recall@{at}": sum(sum(1 for x in r if x <= at) / len(r) for r in ranks) / n for at in k},
        "r_precision": sum(sum(1 for x in r if x <= len(r)) / len(r) for r in ranks) / n,
    }


def oracle_compose(parts):
    """unit(sum of weight * unit(mean of values)) for parts [(values, weight)]; those without values are left out."""
    total = 0
    for values, weight in parts:
        if len(values):
            mean = sum(np.asarray(v, dtype=np.float64) for v in values) / len(values)
            total = total + weight * mean / math.sqrt(float(mean @ mean))
    return total / math.sqrt(float(total @ total))


def oracle_values(embeddings, modality, item, label):
    """The values of an item in a modality, in order of rows; in a label modality, those of its label."""
    rows = range(len(embeddings.vectors[modality]))
    if embeddings.per_label(modality):
        mine = [r for r in rows if label >= 0 and int(embeddings.labels[modality][r]) == label]
    else:
        mine = [r for r in rows if item >= 0 and int(embeddings.items[modality][r]) == item]
    return [embeddings.vectors[modality][r].double().numpy() for r in mine]


def oracle_composed_rows(embeddings, modalities, unit, parts, weights=None):
    """[(vector, item, label)] of every item, or of every label where all modalities have one value per label."""
    weights = weights or {}
    per_label = all(embeddings.per_label(m) for m in modalities)
    owners = {}
    for m in modalities if per_label else [m for m in embeddings.vectors if not embeddings.per_label(m)]:
        for r in range(len(embeddings.vectors[m])):
            label = -1 if embeddings.labels is None else int(embeddings.labels[m][r])
            owners[label if per_label else int(embeddings.items[m][r])] = label
    rows = []
    for owner in sorted(owners):
        item, label = (-1 if per_label else owner), owners[owner]
        values = [oracle_values(embeddings, m, item, label) for m in modalities]
        if not (all if parts == "all" else any)(len(v) > 0 for v in values):
            continue
        for k in range(max(len(v) for v in values) if unit == "value" else 1):
            chosen = [[v[k % len(v)]] if unit == "value" and v else v for v in values]
            rows.append(
                (oracle_compose([(v, weights.get(m, 1)) for m, v in zip(modalities, chosen, strict=True)]), item, label)
            )
    return rows


def oracle_direction(embeddings, query, target, unit, match="item", parts="all", k=(1, 5, 10)):
    """The entry of one direction, from loops alone."""

    def single(m):
        labels = [-1] * len(embeddings.items[m]) if embeddings.labels is None else embeddings.labels[m].tolist()
        vectors = embeddings.vectors[m].double().numpy()
        return list(zip(vectors, embeddings.items[m].tolist(), labels, strict=True))

    queries = single(query[0]) if unit == "value" and len(query) == 1 else None
    queries = oracle_composed_rows(embeddings, query, unit, parts) if queries is None else queries
    gallery = single(target[0]) if len(target) == 1 else oracle_composed_rows(embeddings, target, "item", "any")
    by_label = match == "label" or any(all(embeddings.per_label(m) for m in side) for side in (query, target))

    def is_match(a, b):
        return (a[1] == b[1] and a[1] >= 0) or (by_label and a[2] == b[2] and a[2] >= 0)

    ranks = []
    for q in queries:
        matches = [j for j, g in enumerate(gallery) if is_match(q, g)]
        if matches:
            ranks.append(oracle_ranks([float(q[0] @ g[0]) for g in gallery], matches))
    all_items = {int(i) for items in embeddings.items.values() for i in items if i >= 0}
    all_labels = {int(y) for labels in (embeddings.labels or {}).values() for y in labels if y >= 0}
    lacking = all_labels - {q[2] for q in queries} if unit == "label" else all_items - {q[1] for q in queries}
    return {
        "query": list(query),
        "target": list(target),
        "unit": unit,
        "match": "label" if by_label else "item",
        "queries": len(ranks),
        "skipped": {"part": len(lacking), "match": len(queries) - len(ranks)},
        "gallery": len(gallery),
        **oracle_metrics(ranks, k),
    }
