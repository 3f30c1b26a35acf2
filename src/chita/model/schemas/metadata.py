"""``metadata`` of every object (Kubernetes ``ObjectMeta``), and Kubernetes' label selectors."""

from __future__ import annotations

from chita.model.schema import Anything, Format, ListOf, MapOf, Record, Text, Whole

LABELS = MapOf(key=Format.LABEL_KEY, value=Text(format=Format.LABEL_VALUE))
ANNOTATIONS = MapOf(key=Format.ANNOTATION_KEY, value=Text())

METADATA = Record(
    fields={
        # The name's own format depends on the kind: `KindSchema.name`.
        "name": Text(),
        "generateName": Text(),
        "namespace": Text(format=Format.DNS_LABEL),
        "labels": LABELS,
        "annotations": ANNOTATIONS,
        # Kept by the API server; what `kubectl get -o yaml` prints may be applied again.
        "uid": Text(),
        "resourceVersion": Text(),
        "generation": Whole(minimum=0),
        "creationTimestamp": Text(),
        "deletionTimestamp": Text(),
        "deletionGracePeriodSeconds": Whole(minimum=0),
        "selfLink": Text(),
        "finalizers": ListOf(item=Text()),
        "ownerReferences": ListOf(item=Anything()),
        "managedFields": ListOf(item=Anything()),
    },
    hints={
        "label": "write labels",
        "annotation": "write annotations",
        "tier": "write the tier in spec.tier",
    },
)

LABEL_SELECTOR = Record(
    fields={
        "matchLabels": LABELS,
        "matchExpressions": ListOf(
            item=Record(
                fields={
                    "key": Text(format=Format.LABEL_KEY),
                    "operator": Text(choices=("In", "NotIn", "Exists", "DoesNotExist")),
                    "values": ListOf(item=Text(format=Format.LABEL_VALUE)),
                },
                required=("key", "operator"),
            ),
        ),
    },
)
"""``metav1.LabelSelector``; empty, it selects all. Which operator needs values is checked apart."""
