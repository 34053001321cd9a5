"""What surrounds the hosts: the LAN's switch with its leases, the router, and a small Internet behind it."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab import links, namespaces
from lab.host import LAN_BRIDGE
from lab.machine import LabMachine

INTERNET = IPv4Interface("203.0.113.10/24")  # TEST-NET-3, RFC 5737
ROUTER_OUTSIDE = IPv4Interface("203.0.113.1/24")
SITE = "internet.example"  # a name that the Internet's DNS knows
FIRST_LEASE, LAST_LEASE = 100, 199  # host part of the LAN's leases


def put_up_internet(internet: LabMachine) -> None:
    """A machine that answers ping, HTTP and DNS. It has no route but to its own link: masquerade or silence."""
    namespaces.add(internet.state, internet.namespace)
    pages = internet.state_dir / "pages"
    pages.mkdir(parents=True)
    (pages / "index.html").write_text("the Internet\n")


def put_up_lan(lan: LabMachine, subnet: IPv4Network, router: IPv4Address, names: dict[str, IPv4Address]) -> None:
    """The switch, with dnsmasq at its own address for leases and names. names: host name → address."""
    namespaces.add(lan.state, lan.namespace)
    links.add_bridge(lan.namespace, LAN_BRIDGE)
    links.add_address(lan.namespace, LAN_BRIDGE, IPv4Interface((lan.address, subnet.prefixlen)))
    links.add_default_route(lan.namespace, router)
    lan.state_dir.mkdir(parents=True)
    lan.run(
        [
            "dnsmasq",
            *_dnsmasq_files(lan),
            f"--interface={LAN_BRIDGE}",
            f"--dhcp-range={subnet[FIRST_LEASE]},{subnet[LAST_LEASE]},{subnet.netmask},1h",
            f"--dhcp-option=option:router,{router}",
            f"--dhcp-leasefile={lan.state_dir / 'leases'}",
            "--dhcp-authoritative",
            "--no-ping",  # nobody else takes addresses here, and probing one costs a guest 3 s
            f"--server={INTERNET.ip}",
            *(f"--host-record={name},{address}" for name, address in names.items()),
        ]
    )


def put_up_router(router: LabMachine, subnet: IPv4Network) -> None:
    """Between LAN and Internet. It masquerades the LAN's addresses only and has no route to any guests' subnet."""
    namespaces.add(router.state, router.namespace)
    links.add_cable((f"{router.state.prefix}-lan", "router"), (router.namespace, "lan"), master=LAN_BRIDGE)
    links.add_cable((f"{router.state.prefix}-internet", "eth0"), (router.namespace, "wan"))
    links.add_address(router.namespace, "lan", IPv4Interface((router.address, subnet.prefixlen)))
    links.add_address(router.namespace, "wan", ROUTER_OUTSIDE)
    router.write_sysctl("net.ipv4.ip_forward", "1")
    ruleset = f"""
        table ip lab {{
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname "wan" ip saddr {subnet} masquerade
            }}
        }}"""
    router.run(["nft", "-f", "-"], input=ruleset)


def open_internet(internet: LabMachine) -> None:
    """Give it its address and start its services, once its link is there."""
    links.add_address(internet.namespace, "eth0", INTERNET)
    pages = str(internet.state_dir / "pages")
    internet.run(["busybox", "httpd", "-p", f"{INTERNET.ip}:80", "-h", pages])
    internet.run(
        [
            "dnsmasq",
            *_dnsmasq_files(internet),
            "--interface=eth0",
            f"--local=/{SITE}/",
            f"--host-record={SITE},{INTERNET.ip}",
        ]
    )


def put_up_machine(machine: LabMachine, subnet: IPv4Network, router: IPv4Address) -> None:
    """A LAN machine with a fixed address: the panel's, or any other."""
    namespaces.add(machine.state, machine.namespace)
    machine.state_dir.mkdir(parents=True)
    switch = f"{machine.state.prefix}-lan"
    links.add_cable((switch, machine.name), (machine.namespace, "eth0"), master=LAN_BRIDGE)
    links.add_address(machine.namespace, "eth0", IPv4Interface((machine.address, subnet.prefixlen)))
    links.add_default_route(machine.namespace, router)


def _dnsmasq_files(machine: LabMachine) -> list[str]:
    """Nothing of the machine's own configuration; files in the lab's directory, which is root's alone."""
    pid_file = f"--pid-file={machine.state_dir / 'dnsmasq.pid'}"
    return [
        "--conf-file=/dev/null",
        "--no-hosts",
        "--no-resolv",
        "--bind-interfaces",
        "--user=root",
        "--group=root",
        pid_file,
    ]
