"""A small stack with something of each kind that the application's has."""

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Journal: {Type: String}
  Concurrency: {Type: Number, Default: 2}
  MaxReceiveCount: {Type: Number, Default: 2}
Globals:
  Function:
    Runtime: python3.13
    Handler: app.lambda_handler
    Timeout: 60
    Layers: [!Ref DependenciesLayer]
    Environment: {Variables: {JOURNAL: !Ref Journal}}
Resources:
  DependenciesLayer:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: DependenciesLayer
  Api: {Type: AWS::Serverless::HttpApi}
  InboundQueue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 3
      RedrivePolicy:
        deadLetterTargetArn: !GetAtt InboundDeadLetterQueue.Arn
        maxReceiveCount: !Ref MaxReceiveCount
  InboundDeadLetterQueue: {Type: AWS::SQS::Queue}
  MailQueue: {Type: AWS::SQS::Queue}
  MailTopic: {Type: AWS::SNS::Topic}
  OtherTopic: {Type: AWS::SNS::Topic}
  MailSubscription:
    Type: AWS::SNS::Subscription
    Properties: {TopicArn: !Ref MailTopic, Protocol: sqs, Endpoint: !GetAtt MailQueue.Arn}
  OtherSubscription:
    Type: AWS::SNS::Subscription
    Properties: {TopicArn: !Ref OtherTopic, Protocol: sqs, Endpoint: !GetAtt MailQueue.Arn}
  MailQueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref MailQueue]
      PolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: sns.amazonaws.com}
            Action: sqs:SendMessage
            Resource: !GetAtt MailQueue.Arn
            Condition: {ArnEquals: {aws:SourceArn: !Ref MailTopic}}
  ConfigurationSet: {Type: AWS::SES::ConfigurationSet, Properties: {Name: small}}
  Events:
    Type: AWS::SES::ConfigurationSetEventDestination
    Properties:
      ConfigurationSetName: !Ref ConfigurationSet
      EventDestination:
        Enabled: true
        MatchingEventTypes: [send, delivery]
        SnsDestination: {TopicARN: !Ref MailTopic}
  Bucket: {Type: AWS::S3::Bucket}
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Statement:
          - Effect: Deny
            Principal: "*"
            Action: s3:*
            Resource: !Sub "${Bucket.Arn}/*"
            Condition: {Bool: {aws:SecureTransport: "false"}}
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      GenerateSecretString: {SecretStringTemplate: '{"username":"a"}', GenerateStringKey: password}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: echo
      Policies:
        - Statement:
            - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt InboundQueue.Arn}
            - {Effect: Allow, Action: secretsmanager:GetSecretValue, Resource: !Ref Secret}
            - {Effect: Allow, Action: s3:PutObject, Resource: !Sub "${Bucket.Arn}/*"}
      Events:
        Any: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: ANY, Path: "/v1/{proxy+}"}}
        One: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: /first}}
  Work:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: work
      Events:
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt InboundQueue.Arn
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: !Ref Concurrency}
Outputs:
  ApiId: {Value: !Ref Api}
  InboundQueueUrl: {Value: !Ref InboundQueue}
  InboundDeadLetterQueueUrl: {Value: !Ref InboundDeadLetterQueue}
  MailQueueUrl: {Value: !Ref MailQueue}
  MailTopic: {Value: !Ref MailTopic}
  OtherTopic: {Value: !Ref OtherTopic}
  Bucket: {Value: !Ref Bucket}
  Secret: {Value: !Ref Secret}
  Echo: {Value: !Ref Echo}
  Work: {Value: !Ref Work}
"""
ECHO = """
import json, os, sys
from shared_words import WORD
def lambda_handler(event, context):
    if event == "raise":
        raise ValueError("told to")
    if "call" in event:
        import botocore.session
        service, operation, arguments = event["call"]
        client = botocore.session.get_session().create_client(service)
        return getattr(client, operation)(**arguments)["ResponseMetadata"]["HTTPStatusCode"]
    found = {"event": event, "word": WORD, "environment": dict(os.environ), "path": sys.path}
    return {"statusCode": 207, "body": json.dumps(found), "headers": {"X-Own": "1"}}
"""
WORK = """
import os, time
def lambda_handler(event, context):
    failed = []
    for record in event["Records"]:
        with open(os.environ["JOURNAL"], "a") as journal:
            journal.write(f"{time.time()} {os.getpid()} {record['body']}\\n")
        if "poison" in record["body"] and not os.path.exists(os.environ["JOURNAL"] + ".healed"):
            failed.append({"itemIdentifier": record["messageId"]})
        if record["body"] == "slow":
            time.sleep(4)
    return {"batchItemFailures": failed}
"""
