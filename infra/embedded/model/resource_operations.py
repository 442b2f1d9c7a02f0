"""Operations on what has an ARN, stream or consumer: tags and resource policies. Policies are kept, not enforced."""

import orjson

from infra.embedded.model.errors import invalid, not_found
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.tags import add_tags, listed


class ResourceOperations:
    """Args are those of `Kinesis`."""

    def __init__(self, streams: Registry) -> None:
        self._streams = streams

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
            "PutResourcePolicy": self._put_policy,
            "GetResourcePolicy": self._get_policy,
            "DeleteResourcePolicy": self._delete_policy,
        }

    def _tag(self, request: Json) -> Answer:
        stream, resource = self._streams.resource(request["ResourceARN"])
        with stream.lock:
            add_tags(resource.tags, request["Tags"])
        return {}

    def _untag(self, request: Json) -> Answer:
        stream, resource = self._streams.resource(request["ResourceARN"])
        with stream.lock:
            for key in request["TagKeys"]:
                resource.tags.pop(key, None)
        return {}

    def _list_tags(self, request: Json) -> Answer:
        stream, resource = self._streams.resource(request["ResourceARN"])
        with stream.lock:
            return {"Tags": listed(resource.tags)}

    def _put_policy(self, request: Json) -> Answer:
        _, resource = self._streams.resource(request["ResourceARN"])
        try:
            policy = orjson.loads(request["Policy"])
        except orjson.JSONDecodeError:
            policy = None
        if not isinstance(policy, dict):
            raise invalid("The policy is not a JSON object.")
        resource.policy = request["Policy"]
        return {}

    def _get_policy(self, request: Json) -> Answer:
        _, resource = self._streams.resource(request["ResourceARN"])
        return {"Policy": "{}" if resource.policy is None else resource.policy}

    def _delete_policy(self, request: Json) -> Answer:
        arn = request["ResourceARN"]
        _, resource = self._streams.resource(arn)
        if resource.policy is None:
            raise not_found(f"No resource policy found for resource ARN {arn}")
        resource.policy = None
        return {}
