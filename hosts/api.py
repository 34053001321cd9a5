"""POST /enrol/: the one address that an agent calls. It has no account yet, so its token is all it is asked for."""

from __future__ import annotations

import json
from dataclasses import asdict

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from pydantic import ValidationError

from hosts.enrolment import EnrolmentRefused, EnrolmentRequest, enrol, may_try, record_wrong_token

LARGEST = 10_000  # bytes of a request


@csrf_exempt
@login_not_required
@require_POST
def enrol_view(request: HttpRequest) -> JsonResponse:
    """{"token", "public_key", "hostname"} -> {"host", "name", "redis_url", "panel_public_key", "panel_fingerprint"},
    else {"error"} with 400 (malformed), 403 (token) or 429 (too many wrong tokens)."""
    address = str(request.META.get("REMOTE_ADDR", ""))[:64]
    if not may_try(address):
        return _error(429, "Too many wrong tokens came from this address. Wait five minutes.")
    try:
        asked = EnrolmentRequest.model_validate_json(_body(request))
        enrolment = enrol(asked.token, asked.public_key, asked.hostname)
    except EnrolmentRefused as refusal:
        record_wrong_token(address)
        return _error(403, str(refusal))
    except (ValidationError, ValueError):
        return _error(400, 'Send {"token": …, "public_key": base64 of 32 bytes, "hostname": …} as JSON.')
    return JsonResponse(json.loads(json.dumps(asdict(enrolment), default=str)))


def _body(request: HttpRequest) -> bytes:
    """Raises ValueError for one that is too large or was cut off."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST:
        raise ValueError("too large")
    try:
        body = request.read(LARGEST + 1)
    except UnreadablePostError as error:
        raise ValueError("cut off") from error
    if len(body) > LARGEST:
        raise ValueError("too large")
    return bytes(body)


def _error(status: int, sentence: str) -> JsonResponse:
    return JsonResponse({"error": sentence}, status=status)
