import { describe, expect, it } from 'vitest';
import { isAddress } from '../../src/types/address.ts';

describe('isAddress', () => {
  it.each(['localhost:1', 'a.example:65535', '10.0.0.1:7600', '[::1]:80', 'unix.example:80', 'dns-1:53', 'UNIX:80'])(
    '%s is one',
    (text) => expect(isAddress(text)).toBe(true),
  );

  // gRPC would read them as targets with a scheme: a socket in the file system, or a name to look up.
  it.each(['unix:80', 'unix-abstract:80', 'dns:80', 'ipv4:80', 'ipv6:80', 'vsock:80', 'xds:80'])(
    '%s is none, since it is a scheme and a path',
    (text) => expect(isAddress(text)).toBe(false),
  );

  it.each(['', 'a', 'a:', 'a:0', 'a:65536', 'a:1:2', 'http://a:1', 'dns:///a:1', '::1:80', `${'a'.repeat(300)}:1`])(
    '%s is none',
    (text) => expect(isAddress(text)).toBe(false),
  );
});
