/**
 * The program behind relay.ts. Its argument is JSON: { device, nodes: [{ namespace, address }], links: [[from, to]], delayMs,
 * jitterMs, loss, duplicate }. It makes a TUN device in each namespace, routes the packets of the links through it, and passes
 * each on after its delay. It ends when its stdin closes, and its devices and routes with it.
 */
export const RELAY_PROGRAM = `
import ctypes, fcntl, heapq, json, os, random, select, struct, subprocess, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
options = json.loads(sys.argv[1])
nodes, device = options['nodes'], options['device']
libc = ctypes.CDLL(None, use_errno=True)

def enter(path):
    handle = os.open(path, os.O_RDONLY)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns ' + path)
    os.close(handle)

home = '/proc/%d/ns/net' % os.getpid()
home_handle = os.open(home, os.O_RDONLY)
tuns = []
for node in nodes:
    enter('/var/run/netns/' + node['namespace'])
    tun = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH', device.encode(), IFF_TUN | IFF_NO_PI))
    # Answers may take another way back than the packets that they answer.
    for name in ('all', device):
        with open('/proc/sys/net/ipv4/conf/%s/rp_filter' % name, 'w') as handle:
            handle.write('0')
    tuns.append(tun)
libc.setns(home_handle, CLONE_NEWNET)
for node in nodes:
    subprocess.run(['ip', '-n', node['namespace'], 'link', 'set', device, 'up'], check=True)
for source, target in options['links']:
    route = [nodes[target]['address'] + '/32', 'dev', device, 'src', nodes[source]['address']]
    subprocess.run(['ip', '-n', nodes[source]['namespace'], 'route', 'add'] + route, check=True)

by_address = {node['address']: i for i, node in enumerate(nodes)}
waiting, number, open_ = [], 0, True
poll = select.poll()
for tun in tuns:
    poll.register(tun, select.POLLIN)
poll.register(0, select.POLLIN)

def hold(target, packet):
    global number
    delay = options['delayMs'] + random.random() * options['jitterMs']
    number += 1
    heapq.heappush(waiting, (time.monotonic() + delay / 1000, number, target, packet))

while open_:
    timeout = 1000 if not waiting else max(0, (waiting[0][0] - time.monotonic()) * 1000)
    for handle, event in poll.poll(timeout):
        if handle == 0:
            open_ = bool(os.read(0, 4096))
            continue
        try:
            while True:
                packet = os.read(handle, 65536)
                if packet[0] >> 4 != 4:
                    continue
                target = by_address.get('.'.join(str(byte) for byte in packet[16:20]))
                if target is None or random.random() < options['loss']:
                    continue
                hold(target, packet)
                if random.random() < options['duplicate']:
                    hold(target, packet)
        except BlockingIOError:
            pass
    while waiting and waiting[0][0] <= time.monotonic():
        _, _, target, packet = heapq.heappop(waiting)
        try:
            os.write(tuns[target], packet)
        except OSError:
            pass
`;
