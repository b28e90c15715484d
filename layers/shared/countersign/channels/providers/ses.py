"""Amazon SES: mail out by its API v2, with the right of the function's own role. A channel's secret
is `{"configuration_set"}`, and `"region"` where that is not the function's.

What it tells comes by SNS and is read in `ses_events`. https://docs.aws.amazon.com/ses/latest/dg/
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from countersign.channels.messages import (
    Accepted,
    ChannelType,
    DeliveryStatus,
    InboundMessage,
    Outgoing,
    RawMail,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
    WebhookRequest,
)
from countersign.channels.providers import (
    Credentials,
    ProviderSettings,
    mails,
    no_files,
    ses_events,
)
from countersign.mail.fieldwriting import ascii_address
from countersign.mail.writing import Letter, write
from countersign.platform import storage
from countersign.platform.calls import CONNECT_SECONDS, retry_after
from countersign.platform.errors import Invalid, NotFound

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_sesv2.client import SESV2Client

TYPES: Mapping[ChannelType, str] = {"email": ""}
CREDENTIALS = {"configuration_set": "countersign"}
PARSED_HEADERS: tuple[str, ...] = ()
ANSWER = ("text/plain", "")
RESEND_IS_SAFE = False
MOST_CHARACTERS = mails.MOST_CHARACTERS
OPTED_OUT: frozenset[str] = frozenset()
fetch = no_files

MOST_BYTES = 40 * 1024 * 1024
MOST_RECIPIENTS = 50
READ_SECONDS = 20.0

_THROTTLED = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"})
# Of the account, until somebody does something or the day's quota is free again.
_PAUSED = frozenset(
    {"LimitExceededException", "AccountSuspendedException", "SendingPausedException"}
)
_PAUSE_SECONDS = 1800.0
# Of our own settings in AWS: the mail may go once they are mended.
_MISCONFIGURED = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "MailFromDomainNotVerifiedException",
        "NotFoundException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


def verify(request: WebhookRequest, credentials: Sequence[Credentials], now: datetime) -> None:
    """Raise `NotFound`: SES tells what it has to tell by SNS, and AWS proves that it does."""
    raise NotFound("An SES channel takes nothing in by webhooks, but by SNS.")


def check(request: WebhookRequest) -> None:
    """Refuse nothing."""


def parse(request: WebhookRequest) -> list[InboundMessage | DeliveryStatus]:
    """The mail or the statuses that one of SES's events tells of. Raises `Invalid`.

    A mail is read from S3: raises `NotFound` and `Unavailable` of its object.
    """
    event = ses_events.read(request.body.decode(errors="replace"))
    if event is None:
        return []
    if not ses_events.is_received(event):
        return [*ses_events.statuses(event, request.received_at)]
    found = ses_events.received(event)
    raw = RawMail(raw=storage.get(found.bucket, found.key), verdicts=found.verdicts)
    return [mails.message(raw, found.event_id, request.received_at)]


def send(delivery: Outgoing, credentials: Credentials, settings: ProviderSettings) -> SendResult:
    """Send the raw mail to the recipients of its To and Cc; `Accepted` by SES's own message id.

    SES gives the mail a Message-ID and a date of its own and leaves References as they are, so that
    these name ours. Its events bring back the tags `channel` and `attempt`. A call that ended in no
    answer, or in a 5xx, is `Unknown`: SES knows no second try from a second mail.
    https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
    """
    if not credentials.get("configuration_set"):
        return Unreached("The channel's secret holds no configuration_set: nothing would be told.")
    try:
        letter = mails.traceable(mails.letter(delivery))
        request = _request(delivery, letter, str(credentials["configuration_set"]))
    except Invalid as error:
        return Refused("invalid_mail", error.detail)
    refusal = _refusal(letter, request)
    return refusal or _call(credentials.get("region"), request)


def _request(delivery: Outgoing, letter: Letter, configuration_set: str) -> dict[str, Any]:
    """The envelope is given apart, so that no header decides who gets the mail."""
    to = tuple(dict.fromkeys(ascii_address(one.address) for one in letter.to))
    return {
        "FromEmailAddress": ascii_address(delivery.sender),
        "Destination": {
            "ToAddresses": list(to),
            "CcAddresses": [one for one in letter.recipients if one not in to],
        },
        "Content": {"Raw": {"Data": write(letter)}},
        "ConfigurationSetName": configuration_set,
        "EmailTags": [
            {"Name": name, "Value": value} for name, value in ses_events.tags(delivery).items()
        ],
    }


def _refusal(letter: Letter, request: Mapping[str, Any]) -> Refused | None:
    if letter.needs_smtputf8:
        return Refused("smtputf8", "SES takes no addresses that are not ASCII before the @.")
    if len(letter.recipients) > MOST_RECIPIENTS:
        return Refused("recipients", f"SES takes {MOST_RECIPIENTS} recipients at most.")
    size = len(request["Content"]["Raw"]["Data"])
    if size > MOST_BYTES:
        return Refused("too_large", f"The mail has {size} bytes; SES takes {MOST_BYTES}.")
    return None


def _call(region: str | None, request: Mapping[str, Any]) -> SendResult:
    from botocore import exceptions as errors
    from botocore.parsers import ResponseParserError

    try:
        message_id = _client(region).send_email(**request).get("MessageId")
    except errors.ClientError as error:
        return _result(error)
    except (errors.EndpointConnectionError, errors.ConnectTimeoutError, errors.SSLError) as error:
        return Unreached(f"No connection to SES: {type(error).__name__}.")
    except errors.HTTPClientError as error:
        return Unknown(f"The connection broke before SES answered: {type(error).__name__}.")
    except ResponseParserError:
        return Unknown("SES answered what cannot be read.")
    except errors.BotoCoreError as error:
        return Unreached(f"SES cannot be called: {type(error).__name__}.")
    return Accepted(message_id) if message_id else Unknown("SES took it, but named no message.")


def _result(error: ClientError) -> SendResult:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    reason = f"{code}: {error.response.get('Error', {}).get('Message', '')[:300]}"
    if code in _THROTTLED or status == 429:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return Throttled(retry_after(headers), reason)
    if code in _PAUSED:
        return Throttled(_PAUSE_SECONDS, reason)
    if code in _MISCONFIGURED:
        return Unreached(reason)
    return Unknown(reason) if status >= 500 else Refused(code, reason)


@functools.cache
def _client(region: str | None) -> SESV2Client:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # A second try by itself would be a second mail.
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    return boto3.client("sesv2", region_name=region, config=config)


def look_up(
    delivery: Outgoing, credentials: Credentials, settings: ProviderSettings, since: datetime
) -> list[str]:
    """Nothing: SES lists no mails. Its events name the attempt, and settle what is unknown."""
    return []
