"""This machine among the servers of a launch: its address, those of its cards, which one it is.

Not run on hardware.
"""

import contextlib
import os
import re
import shutil
import socket

from deeplab_nb.ascend_profiles import answer
from deeplab_nb.errors import WorkbookError

HCCN_CONF = "/etc/hccn.conf"


def place_among(servers, number, said):
    """The number of this machine among servers, where one is given or there is but one.

    said: what they are, for the WorkbookError.
    """
    last = len(servers) - 1
    if number is None and last:
        raise WorkbookError(f"{said}: say with --server 0 to {last} which this machine is")
    if (number or 0) not in range(len(servers)):
        raise WorkbookError(f"--server {number} is none of these, {said}: give 0 to {last}")
    return number or 0


def addresses(devices, *, conf=HCCN_CONF, tool="hccn_tool", needed=True):
    """{device: its network address}, from `hccn_tool` where there is one, else from /etc/hccn.conf.

    Raises WorkbookError naming the device that has none, if they are needed.
    """
    source, found = conf, {}
    if shutil.which(tool):
        source = tool
        for device in devices:  # its line is such as 'ipaddr:192.168.100.101'
            told = re.search(r"ipaddr\s*:\s*(\S+)", answer(tool, "-i", str(device), "-ip", "-g"))
            if told:
                found[device] = told.group(1)
    elif needed or os.path.exists(conf):
        try:
            found = read_conf(conf)
        except OSError as error:
            raise WorkbookError(
                f"{conf} cannot be read ({error.strerror}) and hccn_tool is not on the path: run "
                "this on the server with the cards, or name its copy with --hccn-conf"
            )
    for device in devices if needed else ():
        if device not in found:
            raise WorkbookError(
                f"{source} holds no address of card {device}: set it with `hccn_tool -i {device} "
                "-ip -s address IP netmask MASK`, or name fewer cards"
            )
    return found


def read_conf(path):
    """{device: address} of lines such as 'address_0=192.168.100.101'. Raises OSError."""
    with open(path, errors="replace") as file:
        found = re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE)
    return {int(device): address for device, address in found}


def own_address():
    """This machine's address as others see it. Raises WorkbookError where its name is its own."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "unknown"
    if address == "unknown" or address.startswith("127."):
        raise WorkbookError(
            f"the address of {socket.gethostname()} is {address}: give the one "
            "that other servers reach it by with --server-ip"
        )
    return address


def super_device(device):
    """The SDID of a card of an A3; that its NPU of two dies is `device // 2` is inferred."""
    number, die = map(str, divmod(device, 2))
    told = answer("npu-smi", "info", "-t", "spod-info", "-i", number, "-c", die)
    found = re.search(r"SDID\s*:\s*(\d+)", told)
    if not found:
        raise WorkbookError(
            f"npu-smi tells no SDID of card {device}: give those of all cards with --super-devices"
        )
    return found.group(1)


def free_addresses(count):
    """So many addresses of this machine; held all at once, so that they differ, then let go."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
