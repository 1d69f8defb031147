"""Asks a server of OpenAI's form. URL: its address with /v1; TOKEN: its key. Such a server is no gateway, so nothing here sees ``poq``."""

import os
import unittest

from proof_of_quality import Gateway, GatewayError

URL, TOKEN = os.environ["URL"], os.environ["TOKEN"]


class Gateways(unittest.TestCase):
    def test_a_question_is_answered(self):
        with Gateway(URL, TOKEN) as gateway:
            model = next(model for model in gateway.models() if "strong" in model)
            question = [
                {"role": "system", "content": "Answer in one sentence."},
                {"role": "user", "content": "What is the capital of Peru?"},
            ]
            for asked in (question, question[1]["content"]):
                answer = gateway.ask(asked, model=model, max_tokens=32, temperature=0)
                self.assertIn("Lima", answer.text)
                self.assertIsNone(answer.poq)

    def test_a_refusal_is_the_servers(self):
        with Gateway(URL, TOKEN) as gateway:
            with self.assertRaises(GatewayError) as refused:
                gateway.ask("Hi", model="nobody's")
            self.assertEqual(refused.exception.status, 404)
            self.assertIn("nobody's", str(refused.exception))
            with self.assertRaises(GatewayError) as refused:
                gateway.receipt(7)
            self.assertEqual(refused.exception.status, 404)
        with Gateway(URL, "wrong") as gateway, self.assertRaises(GatewayError) as refused:
            gateway.ask("Hi", model="x")
        self.assertEqual(refused.exception.status, 401)
        with Gateway("http://127.0.0.1:1/v1", TOKEN) as gateway, self.assertRaisesRegex(GatewayError, "^no gateway answers at "):
            gateway.models()


if __name__ == "__main__":
    unittest.main()
