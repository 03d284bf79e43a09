/** Where the leader may call compensators: what a list allows, and what does not get past it. */
import { describe, expect, it } from 'vitest';
import { AllowList } from '../../src/effector/allow-list.ts';

function list(text: string): AllowList {
  const parsed = AllowList.parse(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

describe('hooks.allow', () => {
  it.each<[string, 'http' | 'grpc' | 'worker', string, boolean]>([
    ['hooks.example', 'http', 'https://hooks.example/undo', true],
    ['hooks.example', 'http', 'http://HOOKS.example:8080/', true],
    ['hooks.example', 'grpc', 'hooks.example:9000', true],
    ['hooks.example', 'http', 'https://hooks.example.evil/', false],
    ['hooks.example', 'http', 'https://evil/hooks.example', false],
    ['hooks.example', 'http', 'https://hooks.example@evil/', false],
    ['hooks.example', 'http', 'https://evil/?hooks.example', false],
    ['hooks.example:443', 'http', 'https://hooks.example/undo', true],
    ['hooks.example:443', 'http', 'http://hooks.example/undo', false],
    ['hooks.example:9000', 'grpc', 'hooks.example:9000', true],
    ['hooks.example:9000', 'grpc', 'hooks.example:9001', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo', true],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/vm?x=1', true],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undone', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/../admin', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/%2e%2e/admin', false],
    // Receivers that decode a path before they resolve it, or that drop parameters of its segments.
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/..%2fadmin', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/..%5Cadmin', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/..%252fadmin', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/..;/admin', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/%252e%252e;a/admin', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example/undo/vm;a=1/b%20c', true],
    ['https://hooks.example/undo', 'http', 'http://hooks.example/undo', false],
    ['https://hooks.example/undo', 'http', 'https://hooks.example:8443/undo', false],
    ['https://hooks.example/undo/', 'http', 'https://hooks.example/undo', false],
    ['https://hooks.example/', 'grpc', 'hooks.example:443', false],
    ['10.0.0.9', 'http', 'http://10.0.0.9/', true],
    // The URL standard reads this as 10.0.0.9.
    ['10.0.0.9', 'http', 'http://0x0a000009/', true],
    ['10.0.0.9', 'http', 'http://169.254.169.254/', false],
    ['[::1]:8080', 'http', 'http://[::1]:8080/', true],
    ['a.example, b.example:1', 'grpc', 'b.example:1', true],
    ['hooks.example', 'http', 'https://hooks.example./', false],
    ['hooks.example', 'http', 'https://hooks.example\\@evil/', true],
    ['hooks.example', 'http', 'https://evil\\@hooks.example/', false],
    ['hooks.example', 'grpc', 'dns:///hooks.example:9000', false],
    ['hooks.example', 'grpc', 'unix:9000', false],
    ['hooks.example', 'grpc', 'hooks.example', true],
    ['a.example', 'worker', 'virtual-machines', true],
    ['a.example', 'http', 'not a url', false],
    ['a.example', 'http', 'ftp://a.example/', false],
  ])('%s: %s %s is %s', (text, kind, target, allowed) => {
    expect(list(text).allows(kind, target)).toBe(allowed);
  });

  it.each([
    '',
    'a.example,',
    'ftp://a/',
    'https://a/?q',
    'https://user@a/',
    'a b',
    'a:999999',
    'a:65536',
    'a:0',
    'a:080',
    'http://',
  ])('is refused with %j in it', (text) => {
    expect(AllowList.parse(text)).toMatchObject({ ok: false, error: expect.stringContaining('neither a host') });
  });
});
