"""The pages as a browser asks for them that prefers Vietnamese."""

from __future__ import annotations

import re

import pytest
from django.db import OperationalError, connection
from django.test import Client

from audit.models import AuditEvent
from hosts.models import Host, HostStatus
from networks import operations
from networks.models import Change, Network
from team.models import User
from tests.catalogues import LOCALE, read_catalogue
from tests.panel.factories import DB_GUEST, WEB_GUEST, WEB_MAC, lab_spec, make_host, nat_spec
from tests.panel.pages import Page
from virtnet.messages import Step
from virtnet.text import text

VIETNAMESE = {"Accept-Language": "vi-VN,vi;q=0.9,en;q=0.5"}

# What an English page cannot do without, and a Vietnamese one can
ENGLISH = re.compile(
    r"(?<![\w./-])("
    r"Add|Addresses|Again|Answer|Any|Approve|Asked|Audit|Because|Cancel|Cards|Changes|Choose|Clear|Copy|"
    r"Default|Edit|Expires|Filter|Finished|From|Guest|Guests|Hardware|History|Hosts|Kind|Leases|Links|Log|"
    r"Made|Modes|Name|Networks|Newer|None|Older|Outcome|Performance|Person|Plug|Plugged|Preview|Revoke|"
    r"Search|Show|State|Status|Steps|Stop|Suits|Undefine|Unplug|Versions|When|Where|Who|ago|already|and|"
    r"applied|are|cannot|done|every|failed|from|has|into|is|its|must|network|networks|never|not|queued|"
    r"refused|running|seconds|sent|silent|stopped|that|the|this|what|which|who|with|yes|your"
    r")(?![\w./-])"
)


@pytest.fixture
def reader(operator_client: Client) -> Client:
    """An operator whose browser asks for Vietnamese."""
    operator_client.defaults["HTTP_ACCEPT_LANGUAGE"] = VIETNAMESE["Accept-Language"]
    return operator_client


@pytest.fixture
def finished(host: Host, operator: User) -> Change:
    """A change that failed, with a step, a problem's sentence and an error that have values."""
    change = operations.define_network(host, nat_spec("office"), by=operator)
    step = Step(
        text=text("Start the network %(network)s.", network="office"),
        command="virsh net-start office",
        outcome="failed",
        detail=text("This host has no link %(link)s any more.", link="eth9"),
    )
    Change.objects.filter(pk=change.pk).update(
        state="undone",
        steps=[step.model_dump(mode="json")],
        error=text("This host has no network %(network)s any more.", network="office").model_dump(mode="json"),
    )
    return change


def page(client: Client, address: str) -> Page:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return Page(answer)


def shown(found: Page) -> str:
    """The text and what is read aloud, without commands, documents and what the languages call themselves."""
    spoken = [given.get(name, "") for _, given in found.tags for name in ("title", "aria-label", "placeholder")]
    return f"{found.words} {' '.join(spoken)}".replace("English", "")


def english_in(words: str) -> list[str]:
    """Single words, and whole sentences of the catalogue, that stayed English."""
    single = ENGLISH.findall(words)
    entries = read_catalogue(LOCALE / "vi/LC_MESSAGES/django.po")
    sentences = [
        said
        for said, entry in entries.items()
        if " " in said and "%(" not in said and said not in entry.translations and said in words
    ]
    return single + sentences


def addresses(change: Change) -> list[str]:
    lab = Network.objects.get(host=change.host, name=lab_spec().name).pk
    default = Network.objects.get(host=change.host, name="default").pk
    web = f"/hosts/kvm1/guests/{WEB_GUEST}/"
    return [
        "/",
        "/?search=nowhere",
        "/hosts/add/",
        "/hosts/kvm1/",
        "/hosts/kvm1/revoke/",
        "/hosts/kvm1/sriov/",
        "/hosts/kvm1/sriov/eth1/numvfs/",
        "/hosts/kvm1/sriov/eth1/vfs/0/",
        "/hosts/kvm1/networks/new/",
        *(f"/hosts/kvm1/networks/new/{mode}/" for mode in ("nat", "bridge", "host-only", "macvtap", "sriov")),
        "/hosts/kvm2/",
        "/hosts/kvm4/enrolment/",
        f"/networks/{lab}/",
        f"/networks/{lab}/edit/",
        f"/networks/{default}/",
        *(f"/networks/{lab}/{what}/" for what in ("start", "stop", "autostart/on", "autostart/off", "undefine")),
        web,
        f"{web}attach/",
        f"{web}vf/",
        f"{web}detach/{WEB_MAC}/",
        *(f"{web}cards/{WEB_MAC}/{what}/" for what in ("filter", "inbound")),
        f"/hosts/kvm1/guests/{DB_GUEST}/",
        "/modes/",
        *(f"/modes/{mode}/" for mode in ("nat", "bridge", "host-only", "macvtap", "sriov")),
        "/search/?q=web",
        "/search/?q=nothing",
        "/changes/",
        "/changes/?host=nowhere",
        f"/changes/{change.pk}/",
        "/audit/",
        "/audit/?person=nobody",
        f"/audit/{AuditEvent.objects.latest('id').pk}/",
    ]


def without_documents(client: Client, address: str) -> Page:
    """The page without what is code: commands, XML, rules."""
    answer = client.get(address)
    assert answer.status_code == 200, address
    kept = re.sub(rb"<(pre|code)\b.*?</\1>", b" ", answer.content, flags=re.DOTALL)
    answer.content = kept
    return Page(answer)


def test_no_page_keeps_an_english_sentence(reader: Client, finished: Change, silent_host: Host) -> None:
    make_host("kvm4", status=HostStatus.PENDING)
    Host.objects.create(name="kvm5")
    left = {}
    for address in addresses(finished):
        if english := english_in(shown(without_documents(reader, address))):
            left[address] = english
    assert left == {}


@pytest.mark.usefixtures("host")
def test_the_search_for_english_finds_it(operator_client: Client) -> None:
    found = english_in(shown(without_documents(operator_client, "/hosts/kvm1/")))
    assert {"Networks", "Guests", "Last report", "New network"} <= set(found)


def test_the_login_is_in_vietnamese(client: Client, db: None) -> None:
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "vi"
    words = page(client, "/login/").words
    assert "Đăng nhập · kvmpanel" in words
    assert "Mạng của các máy ảo trên mọi host KVM của bạn." in words
    assert english_in(words.replace("English", "")) == []
    refused = Page(client.post("/login/", {"username": "nobody", "password": "wrong"})).words
    assert "Vui lòng" in refused


def test_navigation_and_titles(reader: Client, host: Host) -> None:
    words = page(reader, "/hosts/kvm1/").words
    assert "Host Chế độ Thay đổi Nhật ký kiểm toán" in words
    assert "Mạng mới Thu hồi" in words
    assert "Máy ảo" in words
    assert "đang chạy" in words


def test_a_mode_explains_itself(reader: Client, host: Host) -> None:
    words = page(reader, "/hosts/kvm1/networks/new/nat/").words
    assert "Máy ảo ra LAN và Internet qua địa chỉ của chính host." in words
    assert "Firewall của host từ chối kết nối mới vào máy ảo." in words
    assert "Khai báo mạng nat." in words
    assert 'aria-label="máy ảo → tap → virbr → host → uplink → LAN → Internet"' in (
        reader.get("/modes/nat/").content.decode()
    )


def test_a_problem_is_told_with_its_values(reader: Client, host: Host) -> None:
    address = "/hosts/kvm1/networks/new/nat/"
    form = page(reader, address).form(address)
    said = Page(reader.post(address, {**form.values, "name": "default"})).words
    assert "Host này đã có mạng default. Hãy chọn tên khác." in said
    typed = {**form.values, "bridge": "eth0", "gateway": "nonsense"}
    said = Page(reader.post(address, typed)).words
    assert "Hãy nhập một địa chỉ IPv4 kèm prefix, ví dụ 192.168.77.1/24." in said


@pytest.mark.parametrize(
    ("address", "typed"),
    [("/hosts/kvm1/sriov/eth1/numvfs/", {"numvfs": "x"}), (f"/hosts/kvm1/guests/{WEB_GUEST}/vf/", {"vlan": "x"})],
)
def test_a_number_that_is_none_is_told_in_vietnamese(
    reader: Client, host: Host, address: str, typed: dict[str, str]
) -> None:
    assert "Hãy nhập một số nguyên." in Page(reader.post(address, typed)).words


def test_a_step_and_an_error_are_told_with_their_values(reader: Client, finished: Change) -> None:
    words = page(reader, f"/changes/{finished.pk}/").words
    assert "Tạo mạng office" in words
    assert "thất bại, đã hoàn tác" in words
    assert "Host này không còn mạng office." in words
    assert "Khởi động mạng office. thất bại" in words
    assert "Host này không còn liên kết mạng eth9." in words


def test_how_long_ago_is_told_in_vietnamese(reader: Client, host: Host, silent_host: Host) -> None:
    words = page(reader, "/").words
    assert "kvm1 hoạt động 0 giây trước" in words
    assert "kvm2 mất liên lạc 1 giờ trước" in words


def test_a_database_that_is_away_is_told_in_vietnamese(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "ensure_connection", away)
    answer = client.get("/", headers={"Accept-Language": "vi"})
    assert answer.status_code == 503
    assert "Cơ sở dữ liệu của panel không trả lời" in Page(answer).words
    assert 'lang="vi"' in answer.content.decode()
