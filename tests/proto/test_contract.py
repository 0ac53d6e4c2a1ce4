"""The .proto files say exactly what the contract (wire.md) says.

Both sides are brought into one form, a set of facts such as
    ('field', 'Gpu', 'type', 2, 'string', '', 'selector', '')
and the sets must be equal: nothing missing, nothing extra. The compiled descriptors are read through
`protoc --decode`, so only protoc and the standard library are needed.
"""
import os
import re
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROTO = os.path.join(ROOT, 'proto')
PACKAGE = '.coreweave.sandbox.v1.'
FILES = ['coreweave/sandbox/v1/%s.proto' % n
         for n in ('sandbox', 'sandbox_data_plane', 'runtime_class', 'discovery', 'sandbox_template', 'volume', 'settings')]


def contract_path():
    for folder in (os.environ.get('CWS_CONTRACT_DIR'), os.path.join(ROOT, '..', 'shared', 'contract'), HERE):
        path = folder and os.path.join(folder, 'wire.md')
        if path and os.path.exists(path):
            return path
    raise FileNotFoundError('wire.md')


# ---- wire.md -> facts ----

# What 1.6.0 does not have, at the end of a line or of an enum's value; no fact of this version
MARK = re.compile(r'  ?\(1\.22(; [^()]*)?\)$')

METHOD = re.compile(r'- (\w+): (stream )?(\w+) -> (stream )?(\w+)(?:   HTTP: (\w+) (\S+)(?: body=(\S+))?)?$')
RESERVED = re.compile(r'  reserved (\d+) (\w+)$')
FIELD = re.compile(r'  (\d+) (\w+): (repeated |optional )?(\S+)(?:  \[oneof (\w+)\])?(?:  \{(\w+)\})?$')


def contract_facts(text):
    facts = set()
    service = message = file = None
    for line in text.split('```')[1].splitlines():
        if not line.strip():
            continue
        line = MARK.sub('', line)
        if m := re.match(r'# (\S+)  \(package (\S+); imports (.*)\)$', line):
            file = m[1]
            facts.add(('file', file, m[2], tuple(sorted(m[3].split(', ')))))
        elif m := re.match(r'## service coreweave\.sandbox\.v1\.(\w+)$', line):
            service = m[1]
            facts.add(('service', file, service))
        elif m := METHOD.match(line):
            facts.add(('method', service, m[1], bool(m[2]), m[3], bool(m[4]), m[5], (m[6] or '').lower(), m[7] or '',
                       m[8] or ''))
        elif m := re.match(r'enum ([\w.]+): (.*)$', line):
            for value in m[2].split(', '):
                name, number = MARK.sub('', value).split('=')
                facts.add(('value', m[1], name, int(number)))
        elif m := re.match(r'message (\w+)$', line):
            message = m[1]
            facts.add(('message', file, message))
        elif m := FIELD.match(line):
            facts.add(('field', message, m[2], int(m[1]), m[4], (m[3] or '').strip(), m[5] or '', m[6] or ''))
        elif m := RESERVED.match(line):
            facts.update({('reserved', message, m[1]), ('reserved', message, m[2])})
        else:
            raise ValueError('line of unknown form: %r' % line)
    return facts


# ---- protoc's text format -> trees ----

TOKEN = re.compile(r'\s*(?:(\})|(\[?[\w.]+\]?)\s*(?:(\{)|:\s*("(?:[^"\\]|\\.)*"|[^\s{}]+)))')


def parse_text(text):
    """One node is a dict: name -> list of strings or nodes."""
    root = {}
    stack = [root]
    at = 0
    while text[at:].strip():
        m = TOKEN.match(text, at)
        if not m:
            raise ValueError('cannot parse: %r' % text[at:at + 60])
        at = m.end()
        close, name, opens, value = m.groups()
        if close:
            stack.pop()
        elif opens:
            node = {}
            stack[-1].setdefault(name, []).append(node)
            stack.append(node)
        else:
            stack[-1].setdefault(name, []).append(value.strip('"'))
    return root


def first(node, name, default=''):
    return node.get(name, [default])[0]


def compiled_files():
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, 'set.bin')
        subprocess.run(['protoc', '-I', PROTO, '--descriptor_set_out=' + out] + FILES, check=True)
        with open(out, 'rb') as f:
            text = subprocess.run(['protoc', '-I', PROTO, '--decode=google.protobuf.FileDescriptorSet',
                                   'google/api/annotations.proto', 'google/api/field_behavior.proto'],
                                  stdin=f, stdout=subprocess.PIPE, check=True, text=True).stdout
    return parse_text(text)['file']


# ---- descriptors -> facts ----

def short(type_name):
    if type_name.startswith(PACKAGE):
        return type_name[len(PACKAGE):]
    return type_name


def field_type(field, entries):
    kind = first(field, 'type')[len('TYPE_'):].lower()
    if kind not in ('message', 'enum'):
        return kind
    name = short(first(field, 'type_name'))
    if name in entries:
        return 'map<%s,%s>' % entries[name]
    return name


def field_fact(message, field, entries):
    label = {'LABEL_REPEATED': 'repeated'}.get(first(field, 'label'), '')
    kind = field_type(field, entries)
    oneof = first(message['oneof_decl'][int(first(field, 'oneof_index'))], 'name') if 'oneof_index' in field else ''
    if first(field, 'proto3_optional') == 'true':
        label, oneof = 'optional', ''
    if kind.startswith('map<'):
        label = ''
    behaviour = first(first(field, 'options', {}), '[google.api.field_behavior]')
    return ('field', first(message, 'name'), first(field, 'name'), int(first(field, 'number')), kind, label, oneof,
            behaviour)


def enum_facts(prefix, enum):
    for value in enum['value']:
        yield ('value', prefix + first(enum, 'name'), first(value, 'name'), int(first(value, 'number', '0')))


def message_facts(file, message):
    name = first(message, 'name')
    yield ('message', file, name)
    entries = {}
    for nested in message.get('nested_type', []):
        key, value = nested['field']
        entries['%s.%s' % (name, first(nested, 'name'))] = (field_type(key, {}), field_type(value, {}))
    for enum in message.get('enum_type', []):
        yield from enum_facts(name + '.', enum)
    for field in message.get('field', []):
        yield field_fact(message, field, entries)
    for numbers in message.get('reserved_range', []):
        for number in range(int(first(numbers, 'start')), int(first(numbers, 'end'))):
            yield ('reserved', name, str(number))
    for reserved in message.get('reserved_name', []):
        yield ('reserved', name, reserved)


def last(type_name):
    return type_name.rpartition('.')[2]


def method_fact(service, method):
    rule = first(first(method, 'options', {}), '[google.api.http]', {})
    verb = next((v for v in ('get', 'put', 'post', 'delete', 'patch') if v in rule), '')
    return ('method', service, first(method, 'name'), first(method, 'client_streaming') == 'true',
            last(first(method, 'input_type')), first(method, 'server_streaming') == 'true',
            last(first(method, 'output_type')), verb, first(rule, verb) if verb else '', first(rule, 'body'))


def descriptor_facts():
    facts = set()
    for file in compiled_files():
        name = first(file, 'name')
        facts.add(('file', name, first(file, 'package'), tuple(sorted(file.get('dependency', [])))))
        for enum in file.get('enum_type', []):
            facts.update(enum_facts('', enum))
        for message in file.get('message_type', []):
            facts.update(message_facts(name, message))
        for service in file.get('service', []):
            facts.add(('service', name, first(service, 'name')))
            facts.update(method_fact(first(service, 'name'), m) for m in service['method'])
    return facts


class Contract(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        with open(contract_path(), encoding='utf-8') as f:
            cls.expected = contract_facts(f.read())
        cls.actual = descriptor_facts()

    def test_nothing_of_the_contract_is_missing(self):
        self.assertEqual(sorted(map(str, self.expected - self.actual)), [])

    def test_nothing_is_there_that_the_contract_does_not_know(self):
        self.assertEqual(sorted(map(str, self.actual - self.expected)), [])

    def test_the_comparison_sees_everything(self):
        kinds = {}
        for fact in self.expected:
            kinds[fact[0]] = kinds.get(fact[0], 0) + 1
        self.assertEqual(kinds['file'], 7)
        self.assertEqual(kinds['service'], 6)
        self.assertEqual(kinds['method'], 48)
        self.assertEqual(kinds['reserved'], 8)
        self.assertGreater(kinds['field'], 400)

    def test_a_mark_is_cut_off_and_everything_else_must_be_known(self):
        line = 'message A  (1.22)\n  1 b: string  (1.22; was not c)\n  reserved 2 d  (1.22; was string)\nenum E: X=0, Y=1 (1.22)\n'
        text = '```\n%s```' % line
        self.assertEqual(contract_facts(text), {
            ('message', None, 'A'), ('field', 'A', 'b', 1, 'string', '', '', ''), ('reserved', 'A', '2'), ('reserved', 'A', 'd'),
            ('value', 'E', 'X', 0), ('value', 'E', 'Y', 1)})
        for other in ('(1.23)', '(new)', '{REQUIRED} more'):
            with self.assertRaises(ValueError):
                contract_facts(text.replace('(1.22; was not c)', other))

    def test_the_copy_in_the_repository_is_the_contract(self):
        with open(os.path.join(HERE, 'wire.md'), encoding='utf-8') as f:
            self.assertEqual(contract_facts(f.read()), self.expected)


class GeneratedCopies(unittest.TestCase):
    """tools/gen-proto rewrites the files for protoc-c: the wire format must survive that."""

    def test_every_field_keeps_number_and_type(self):
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([os.path.join(ROOT, 'tools', 'gen-proto'), '--proto-dir', PROTO, '--out-dir', scratch,
                            '--copies', scratch], check=True)
            with open(os.path.join(scratch, 'pb.proto'), encoding='utf-8') as f:
                copy = f.read()
        found = {(t, n, int(k)) for t, n, k in re.findall(r'([\w.]+) (\w+) = (\d+);', copy)}
        for fact in (f for f in descriptor_facts() if f[0] == 'field' and not f[4].startswith('map<')):
            name = fact[2] + '_data' if fact[2] in ('stdin', 'stdout', 'stderr') else fact[2]
            self.assertIn((last(fact[4]), name, fact[3]), found)


if __name__ == '__main__':
    unittest.main()
